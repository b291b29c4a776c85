"""What is optimised: radiance fields and Gaussians behind one protocol."""
