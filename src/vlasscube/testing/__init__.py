"""Made-up data and records to test against, without a telescope, and mostly without CASA.

The tests of vlasscube are made of these; so can yours be:

`observations`
    What an array sees of point sources, summed directly: input of the imager, and its oracle.
`measurement_sets`
    A small measurement set made by CASA's simulator.
`casa_images`
    Small CASA images, what CASA's tasks make of them, and all that CASA says of an image.
`synthetic_field`, `synthetic_run`
    A run directory with the records that a run leaves, in every outcome of a plane.
`durability`
    What a machine that loses power would keep of files: the order of syncs and renames.
`stand_in_stage`
    A stage that takes the place of an image-making one, to try workers and clusters with.

None of them is needed by a run. They import neither a test framework nor, before a function of
`measurement_sets` or `casa_images` is called, CASA.

>>> from vlasscube.mosaic.imager import ImagerSettings, MosaicImager
>>> from vlasscube.testing.observations import image_grid, observe
>>> grid = image_grid()
>>> visibilities = observe(grid, sources=[(120, 100, (1.0, 0.1, 0.0, 0.0))])
>>> imager = MosaicImager(grid, visibilities, ImagerSettings(robust=1.0, threads=1))
"""
