# Beads as spheres, CG bonds as sticks:
#   vmd topology.pdb trajectory.dcd -e vmd_beads.tcl
# In reduced units a bead is some sigma wide and the files are in angstrom (1 sigma = 1 nm = 10 angstrom).
display projection Orthographic
display depthcue off
color Display Background white
axes location Off
mol delrep 0 top
mol representation VDW 4.0 24
mol color Index
mol material AOChalky
mol addrep top
mol representation Bonds 2.0 16
mol color ColorID 2
mol material AOChalky
mol addrep top
# keep the chain in view: it diffuses, and positions are unwrapped
set all [atomselect top all]
set n [molinfo top get numframes]
for {set i 0} {$i < $n} {incr i} {
    $all frame $i
    $all moveby [vecinvert [measure center $all]]
}
display resetview
