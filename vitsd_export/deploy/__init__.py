"""Apps, web sites, snippets and serving configurations around an artifact."""
