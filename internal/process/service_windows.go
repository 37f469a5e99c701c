package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
	"golang.org/x/sys/windows/svc/mgr"
)

// HasServices tells whether a program can install itself as a service.
const HasServices = true

// stopPatience is how long the service manager is told to wait for a step of the end.
const stopPatience = 10 * time.Second

// Service runs the program as a service if the service manager has started it; else it returns false. The working
// directory is that of the program, l writes to the event log, and run calls ready once it serves and returns its exit
// status after stop is closed, when everything is in order.
func Service(l *Logger, run func(stop <-chan struct{}, ready func()) int) (status int, ok bool) {
	if is, err := svc.IsWindowsService(); err != nil || !is {
		return 0, false
	}
	s := &service{log: l, run: run}
	// The manager knows a program with one service by its process: the name is not looked at.
	if err := svc.Run("", s); err != nil {
		l.Fail(fmt.Errorf("run as a service: %w", err))
		return 1, true
	}
	return s.status, true
}

// service is a run as a service.
type service struct {
	log    *Logger
	run    func(stop <-chan struct{}, ready func()) int
	status int
}

// Execute implements svc.Handler. The first of args is the name of the service.
func (s *service) Execute(args []string, requests <-chan svc.ChangeRequest, report chan<- svc.Status) (bool, uint32) {
	report <- svc.Status{State: svc.StartPending, WaitHint: milliseconds(stopPatience)}
	if len(args) > 0 {
		if events := openSystemLog(args[0]); events != nil {
			s.log.use(events)
		}
	}
	if err := enterOwnDirectory(); err != nil {
		s.log.Fail(err)
	}
	stop, ready, done := make(chan struct{}), make(chan struct{}), make(chan int, 1)
	go func() { done <- s.run(stop, func() { close(ready) }) }()
	for stopped := false; ; {
		select {
		case <-ready:
			ready = nil
			if !stopped {
				report <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
			}
		case s.status = <-done:
			return s.status != 0, uint32(s.status)
		case r := <-requests:
			switch {
			case r.Cmd == svc.Interrogate:
				report <- r.CurrentStatus
			case (r.Cmd == svc.Stop || r.Cmd == svc.Shutdown) && !stopped:
				report <- svc.Status{State: svc.StopPending, WaitHint: milliseconds(stopPatience)}
				close(stop)
				stopped = true
			}
		}
	}
}

func milliseconds(d time.Duration) uint32 { return uint32(d.Milliseconds()) }

// enterOwnDirectory goes where the program is, as pen does, since the configuration lies beside it. The manager starts
// services in the system's directory.
func enterOwnDirectory() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	return os.Chdir(filepath.Dir(exe))
}

// InstallService makes this program a service, called name, that starts with the system and gets args, which do not
// begin with the program's name.
func InstallService(name string, args []string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	m, err := mgr.Connect()
	if err != nil {
		return fmt.Errorf("connect to the service manager: %w", err)
	}
	defer m.Disconnect()
	s, err := m.CreateService(name, exe, mgr.Config{DisplayName: name, StartType: mgr.StartAutomatic}, args...)
	if err != nil {
		return fmt.Errorf("create service %s: %w", name, err)
	}
	defer s.Close()
	_ = eventlog.Remove(name) // what an earlier service of that name may have left
	if err := eventlog.InstallAsEventCreate(name, eventlog.Error|eventlog.Info); err != nil {
		return errors.Join(fmt.Errorf("register %s with the event log: %w", name, err), s.Delete())
	}
	return nil
}

// RemoveService makes an end of the service called name; one that runs is stopped by the manager first.
func RemoveService(name string) error {
	m, err := mgr.Connect()
	if err != nil {
		return fmt.Errorf("connect to the service manager: %w", err)
	}
	defer m.Disconnect()
	s, err := m.OpenService(name)
	if err != nil {
		return fmt.Errorf("open service %s: %w", name, err)
	}
	defer s.Close()
	if _, err := s.Control(svc.Stop); err != nil && !errors.Is(err, windows.ERROR_SERVICE_NOT_ACTIVE) {
		return fmt.Errorf("stop service %s: %w", name, err)
	}
	if err := s.Delete(); err != nil {
		return fmt.Errorf("delete service %s: %w", name, err)
	}
	if err := eventlog.Remove(name); err != nil {
		return fmt.Errorf("remove %s from the event log: %w", name, err)
	}
	return nil
}
