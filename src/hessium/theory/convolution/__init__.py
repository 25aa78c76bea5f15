"""Free convolution: sums, products, powers and compressions of laws."""
