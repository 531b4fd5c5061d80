"use strict";
/* Colour maps: perceptually uniform, readable without red or green; and how values become colours. */
(() => {
  const vlasscube = window.vlasscube;

  /** 256 colours each, as hexadecimal RGB; inferno, viridis, cividis and coolwarm are matplotlib's. */
  const TABLES = {
    inferno: [
      "00000401000501010601010802010a02020c02020e03021004031204031405041706041907051b08051d09061f0a0722",
      "0b07240c08260d08290e092b10092d110a30120a32140b34150b37160b39180c3c190c3e1b0c411c0c431e0c451f0c48",
      "210c4a230c4c240c4f260c51280b53290b552b0b572d0b592f0a5b310a5c320a5e340a5f3609613809623909633b0964",
      "3d09653e0966400a67420a68440a68450a69470b6a490b6a4a0c6b4c0c6b4d0d6c4f0d6c510e6c520e6d540f6d550f6d",
      "57106e59106e5a116e5c126e5d126e5f136e61136e62146e64156e65156e67166e69166e6a176e6c186e6d186e6f196e",
      "71196e721a6e741a6e751b6e771c6d781c6d7a1d6d7c1d6d7d1e6d7f1e6c801f6c82206c84206b85216b87216b88226a",
      "8a226a8c23698d23698f24699025689225689326679526679727669827669a28659b29649d29649f2a63a02a63a22b62",
      "a32c61a52c60a62d60a82e5fa92e5eab2f5ead305dae305cb0315bb1325ab3325ab43359b63458b73557b93556ba3655",
      "bc3754bd3853bf3952c03a51c13a50c33b4fc43c4ec63d4dc73e4cc83f4bca404acb4149cc4248ce4347cf4446d04545",
      "d24644d34743d44842d54a41d74b3fd84c3ed94d3dda4e3cdb503bdd513ade5238df5337e05536e15635e25734e35933",
      "e45a31e55c30e65d2fe75e2ee8602de9612bea632aeb6429eb6628ec6726ed6925ee6a24ef6c23ef6e21f06f20f1711f",
      "f1731df2741cf3761bf37819f47918f57b17f57d15f67e14f68013f78212f78410f8850ff8870ef8890cf98b0bf98c0a",
      "f98e09fa9008fa9207fa9407fb9606fb9706fb9906fb9b06fb9d07fc9f07fca108fca309fca50afca60cfca80dfcaa0f",
      "fcac11fcae12fcb014fcb216fcb418fbb61afbb81dfbba1ffbbc21fbbe23fac026fac228fac42afac62df9c72ff9c932",
      "f9cb35f8cd37f8cf3af7d13df7d340f6d543f6d746f5d949f5db4cf4dd4ff4df53f4e156f3e35af3e55df2e661f2e865",
      "f2ea69f1ec6df1ed71f1ef75f1f179f2f27df2f482f3f586f3f68af4f88ef5f992f6fa96f8fb9af9fc9dfafda1fcffa4",
    ],
    viridis: [
      "44015444025645045745055946075a46085c460a5d460b5e470d60470e61471063471164471365481467481668481769",
      "48186a481a6c481b6d481c6e481d6f481f70482071482173482374482475482576482677482878482979472a7a472c7a",
      "472d7b472e7c472f7d46307e46327e46337f463480453581453781453882443983443a83443b84433d84433e85423f85",
      "4240864241864142874144874045884046883f47883f48893e49893e4a893e4c8a3d4d8a3d4e8a3c4f8a3c508b3b518b",
      "3b528b3a538b3a548c39558c39568c38588c38598c375a8c375b8d365c8d365d8d355e8d355f8d34608d34618d33628d",
      "33638d32648e32658e31668e31678e31688e30698e306a8e2f6b8e2f6c8e2e6d8e2e6e8e2e6f8e2d708e2d718e2c718e",
      "2c728e2c738e2b748e2b758e2a768e2a778e2a788e29798e297a8e297b8e287c8e287d8e277e8e277f8e27808e26818e",
      "26828e26828e25838e25848e25858e24868e24878e23888e23898e238a8d228b8d228c8d228d8d218e8d218f8d21908d",
      "21918c20928c20928c20938c1f948c1f958b1f968b1f978b1f988b1f998a1f9a8a1e9b8a1e9c891e9d891f9e891f9f88",
      "1fa0881fa1881fa1871fa28720a38620a48621a58521a68522a78522a88423a98324aa8325ab8225ac8226ad8127ad81",
      "28ae8029af7f2ab07f2cb17e2db27d2eb37c2fb47c31b57b32b67a34b67935b77937b87838b9773aba763bbb753dbc74",
      "3fbc7340bd7242be7144bf7046c06f48c16e4ac16d4cc26c4ec36b50c46a52c56954c56856c66758c7655ac8645cc863",
      "5ec96260ca6063cb5f65cb5e67cc5c69cd5b6ccd5a6ece5870cf5773d05675d05477d1537ad1517cd2507fd34e81d34d",
      "84d44b86d54989d5488bd6468ed64590d74393d74195d84098d83e9bd93c9dd93ba0da39a2da37a5db36a8db34aadc32",
      "addc30b0dd2fb2dd2db5de2bb8de29bade28bddf26c0df25c2df23c5e021c8e020cae11fcde11dd0e11cd2e21bd5e21a",
      "d8e219dae319dde318dfe318e2e418e5e419e7e419eae51aece51befe51cf1e51df4e61ef6e620f8e621fbe723fde725",
    ],
    cividis: [
      "00224e00234f00245100255300255400265600275800285900285b00295d002a5f002a61002b62002c64002c66002d68",
      "002e6a002e6c002f6d00306f0030700031700031710132710533710833700c34700f357012357014367016377018376f",
      "1a386f1c396f1e3a6f203a6f213b6e233c6e243c6e263d6e273e6e293f6e2a3f6d2b406d2d416d2e416d2f426d31436d",
      "32436d33446d34456c35456c36466c38476c39486c3a486c3b496c3c4a6c3d4a6c3e4b6c3f4c6c404c6c414d6c424e6c",
      "434e6c444f6c45506c46516c47516c48526c49536c4a536c4b546c4c556c4d556c4e566c4f576c50576c51586d52596d",
      "535a6d545a6d555b6d555c6d565c6d575d6d585e6d595e6e5a5f6e5b606e5c616e5d616e5e626e5e636f5f636f60646f",
      "61656f62656f636670646770656870656870666970676a71686a71696b716a6c716b6d726c6d726c6e726d6f726e6f73",
      "6f70737071737172747272747273747374757474757575757676767777767777777878777979777a7a787b7a787c7b78",
      "7d7c787e7c787e7d787f7e78807f78817f788280798381798482798582798683798784788885788985788a86788b8778",
      "8c88788d88788e89788f8a78908b78918b78928c78928d78938e78948e77958f779690779791779892779992779a9376",
      "9b94769c95769d95769e96769f9775a09875a19975a29975a39a74a49b74a59c74a69c74a79d73a89e73a99f73aaa073",
      "aba072aca172ada272aea371afa471b0a571b1a570b3a670b4a76fb5a86fb6a96fb7a96eb8aa6eb9ab6dbaac6dbbad6d",
      "bcae6cbdae6cbeaf6bbfb06bc0b16ac1b26ac2b369c3b369c4b468c5b568c6b667c7b767c8b866c9b965cbb965ccba64",
      "cdbb63cebc63cfbd62d0be62d1bf61d2c060d3c05fd4c15fd5c25ed6c35dd7c45cd9c55cdac65bdbc75adcc859ddc858",
      "dec958dfca57e0cb56e1cc55e2cd54e4ce53e5cf52e6d051e7d150e8d24fe9d34eead34cebd44bedd54aeed649efd748",
      "f0d846f1d945f2da44f3db42f5dc41f6dd3ff7de3ef8df3cf9e03afbe138fce236fde334fee434fee535fee636fee838",
    ],
    coolwarm: [
      "3b4cc03c4ec23d50c33e51c53f53c64055c84257c94358cb445acc455cce465ecf485fd14961d24a63d34b64d54c66d6",
      "4e68d84f69d9506bda516ddb536edd5470de5572df5673e05875e15977e35a78e45b7ae55d7ce65e7de75f7fe86180e9",
      "6282ea6384eb6485ec6687ed6788ee688aef6a8bef6b8df06c8ff16e90f26f92f37093f37295f47396f57597f67699f6",
      "779af7799cf87a9df87b9ff97da0f97ea1fa80a3fa81a4fb82a6fb84a7fc85a8fc86a9fc88abfd89acfd8badfd8caffe",
      "8db0fe8fb1fe90b2fe92b4fe93b5fe94b6ff96b7ff97b8ff98b9ff9abbff9bbcff9dbdff9ebeff9fbfffa1c0ffa2c1ff",
      "a3c2fea5c3fea6c4fea7c5fea9c6fdaac7fdabc8fdadc9fdaec9fcafcafcb1cbfcb2ccfbb3cdfbb5cdfab6cefab7cff9",
      "b9d0f9bad0f8bbd1f8bcd2f7bed2f6bfd3f6c0d4f5c1d4f4c3d5f4c4d5f3c5d6f2c6d6f1c7d7f0c9d7f0cad8efcbd8ee",
      "ccd9edcdd9eccedaebcfdaead1dae9d2dbe8d3dbe7d4dbe6d5dbe5d6dce4d7dce3d8dce2d9dce1dadce0dbdcdedcdddd",
      "dddcdcdedcdbdfdbd9e0dbd8e1dad6e2dad5e3d9d3e4d9d2e5d8d1e6d7cfe7d7cee8d6cce9d5cbead5c9ead4c8ebd3c6",
      "ecd3c5edd2c3edd1c2eed0c0efcfbfefcebdf0cdbbf1cdbaf1ccb8f2cbb7f2cab5f2c9b4f3c8b2f3c7b1f4c6aff4c5ad",
      "f5c4acf5c2aaf5c1a9f5c0a7f6bfa6f6bea4f6bda2f7bca1f7ba9ff7b99ef7b89cf7b79bf7b599f7b497f7b396f7b194",
      "f7b093f7af91f7ad90f7ac8ef7aa8cf7a98bf7a889f7a688f6a586f6a385f6a283f5a081f59f80f59d7ef59c7df49a7b",
      "f4987af39778f39577f39475f29274f29072f18f71f18d6ff08b6ef08a6cef886bee8669ee8468ed8366ec8165ec7f63",
      "eb7d62ea7b60e97a5fe9785de8765ce7745be67259e57058e46e56e36c55e36b54e26952e16751e0654fdf634ede614d",
      "dd5f4bdc5d4ada5a49d95847d85646d75445d65244d55042d44e41d24b40d1493fd0473dcf453ccd423bcc403acb3e38",
      "ca3b37c83836c73635c53334c43032c32e31c12b30c0282fbe242ebd1f2dbb1b2cba162bb8122ab70d28b50927b40426",
    ],
  };
  const MASK = [[38, 43, 51], [240, 196, 83]];
  /** Of pixels without value; the same as on the pictures. */
  const BLANK = [128, 134, 142];
  /** Entries of a table of colours along the range of values. */
  const FINENESS = 4096;
  /** How far asinh departs from a straight line. */
  const SOFTENING = 10;

  /** @type {Map<string, Uint8Array>} */
  const known = new Map();

  /**
   * Colours of a map.
   * @param {string} name
   * @returns {Uint8Array}  256 times red, green, blue.
   */
  function colourMap(name) {
    let colours = known.get(name);
    if (!colours) {
      colours = new Uint8Array(768);
      if (Object.hasOwn(TABLES, name)) {
        const digits = TABLES[name].join("");
        for (let k = 0; k < 768; k++) colours[k] = parseInt(digits.slice(2 * k, 2 * k + 2), 16);
      } else {
        for (let k = 0; k < 256; k++) {
          colours.set(name === "mask" ? MASK[k < 128 ? 0 : 1] : [k, k, k], 3 * k);
        }
      }
      known.set(name, colours);
    }
    return colours;
  }

  /**
   * @typedef {object} Look  How values are shown.
   * @property {number} low
   * @property {number} high
   * @property {"linear"|"asinh"|"sqrt"} transfer
   * @property {string} map
   */

  const CURVES = {
    linear: { to: (t) => t, from: (c) => c },
    asinh: {
      to: (t) => Math.asinh(SOFTENING * t) / Math.asinh(SOFTENING),
      from: (c) => Math.sinh(c * Math.asinh(SOFTENING)) / SOFTENING,
    },
    sqrt: { to: Math.sqrt, from: (c) => c * c },
  };

  /** A map with two arms is stretched on both sides of its middle, so that the middle stays where it is. */
  function bothSides(curve, look, t) {
    if (look.map !== "coolwarm") return curve(t);
    const side = 2 * t - 1;
    return (1 + Math.sign(side) * curve(Math.abs(side))) / 2;
  }

  /**
   * Value that is shown in a colour of the map.
   * @param {Look} look
   * @param {number} colour  0 to 1 along the map.
   * @returns {number}
   */
  function valueOfColour(look, colour) {
    return look.low + (look.high - look.low) * bothSides(CURVES[look.transfer].from, look, colour);
  }

  const pixel = (red, green, blue) => (255 << 24) | (blue << 16) | (green << 8) | red;

  /**
   * Colours along the range of values.
   * @param {Look} look
   * @returns {Int32Array}  As the words of an ImageData.
   */
  function colourTable(look) {
    const colours = colourMap(look.map);
    const table = new Int32Array(FINENESS);
    for (let k = 0; k < FINENESS; k++) {
      const along = bothSides(CURVES[look.transfer].to, look, k / (FINENESS - 1));
      const entry = 3 * Math.min(255, Math.floor(256 * along));
      table[k] = pixel(colours[entry], colours[entry + 1], colours[entry + 2]);
    }
    return table;
  }

  /**
   * Picture of part of an array, one pixel per sample, north up.
   * @param {ImageArray} array
   * @param {Look} look
   * @param {number[]} [part]  First column, first row, columns, rows; else all.
   * @returns {HTMLCanvasElement}
   */
  function colourSamples(array, look, part = [0, 0, array.width, array.height]) {
    const [column, row, columns, rows] = part;
    const canvas = document.createElement("canvas");
    canvas.width = columns;
    canvas.height = rows;
    const context = canvas.getContext("2d");
    const picture = context.createImageData(columns, rows);
    // All browsers run on machines that store the least significant byte first.
    const words = new Int32Array(picture.data.buffer);
    const table = colourTable(look);
    const blank = pixel(...BLANK);
    const last = FINENESS - 1;
    const scale = last / (look.high - look.low);
    for (let y = 0; y < rows; y++) {
      const start = (row + y) * array.width + column;
      const target = (rows - 1 - y) * columns;
      for (let x = 0; x < columns; x++) {
        const value = array.values[start + x];
        if (value !== value) {
          words[target + x] = blank;
        } else {
          const place = (value - look.low) * scale;
          words[target + x] = table[place <= 0 ? 0 : place >= last ? last : Math.round(place)];
        }
      }
    }
    context.putImageData(picture, 0, 0);
    return canvas;
  }

  vlasscube.colour = { colourMap, colourSamples, valueOfColour };
})();
