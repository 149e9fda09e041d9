"""DNS answers for the mesh (pure): which names are answered here, with what, and which are asked of others."""
