"""All-atom polymer electrolytes as ground truth: chains from a repeat unit's SMILES, LiTFSI, OPLS-AA and CL&P."""
