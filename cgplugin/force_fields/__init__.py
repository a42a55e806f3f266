"""Force fields that the package brings, as data.

- ``polymer.json``: single bead-spring chains in implicit solvent;
- ``electrolyte.json``: bead-spring chains, anions and cations in a periodic box.
"""
