"""What surrounds people: cameras, light, rooms, furniture and things held in hands."""
