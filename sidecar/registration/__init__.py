"""What hosts tell the mesh about themselves, and what is made of registrations that run out. Pure."""
