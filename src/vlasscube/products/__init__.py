"""What is delivered: FITS files, headers, position correction, common-beam set, manifest."""
