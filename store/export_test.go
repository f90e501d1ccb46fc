package store

// KeepRecent makes the hub keep fewer events, so that readers fall behind it.
func (s *Store) KeepRecent(events int) { s.hub.limit = events }
