"""Operations on images: arrays in, arrays out."""
