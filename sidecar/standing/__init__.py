"""Standing: which configuration each member of the mesh has received and has in force. Pure."""
