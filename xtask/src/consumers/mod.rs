//! The programs that read images, really run: drgn, crash, Volatility 3, AVML. Each function returns what its program found.
