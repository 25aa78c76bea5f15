"""Laws of Pennington & Bahri (2017) beside sampled matrices: density, index, critical energy."""
