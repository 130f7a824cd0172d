"""What is predicted: spectra, effective ranks, exact risks and bounds, in closed form."""
