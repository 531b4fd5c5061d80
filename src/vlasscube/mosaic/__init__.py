"""The imaging engine of vlasscube's own: a mosaic by A-projection, arrays in, arrays out."""
