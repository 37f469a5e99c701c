package ring

// OpenPatient opens a portable loop that works as on Windows, by nothing but package net.
func OpenPatient(o Options) (Loop, error) {
	l, err := newPortable(o)
	if err == nil {
		l.(*portable).newIO = newPatientIO
	}
	return l, err
}
