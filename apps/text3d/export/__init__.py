"""What leaves the application: meshes, splats, turntables and contact sheets."""
