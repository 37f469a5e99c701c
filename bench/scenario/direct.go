package scenario

import (
	"fmt"

	"github.com/penlb/pen/bench/load"
	"github.com/penlb/pen/bench/report"
)

// Columns of direct server return. What the forwarder has to do with a frame shows in the whole machine only: the
// sender's processor does a part of it.
var (
	frameColumns = []string{report.CPUPerPacket, report.PacketsLost, report.PacketsPerSec, report.SystemPerOp, report.RSS}
	floodOfAll   = []string{report.SystemPerOp, report.PacketsPerSec, report.PacketsLost, report.CPUPerPacket, report.BusyPerOp}
)

// direct are the scenarios of direct server return.
func direct() (list []Scenario) {
	for _, size := range []int{60, 1514} {
		list = append(list, endless(size))
	}
	for _, size := range []int{60, 1514} {
		list = append(list, overload(size, false), overload(size, true))
	}
	for _, s := range []Scenario{ping("dsr-rr", "64 B request and reply, 50 connections", 50, 64), bulk(load.Up, 4), bulk(load.Down, 4)} {
		s.Link, s.Title = true, "direct server return, "+s.Title
		switch s.Groups[0].Kind {
		case load.Ping:
			s.Columns = []string{report.SystemPerOp, report.OpsPerSecond, report.P50, report.P99, report.CPUPerOp}
		default:
			s.Name = "dsr-" + string(s.Groups[0].Kind)
			s.Columns = []string{report.SystemPerGB, report.BytesPerSecond, report.CPUPerGB}
		}
		list = append(list, s)
	}
	return list
}

// endless is more than anybody can forward.
func endless(size int) Scenario {
	return Scenario{
		Name: fmt.Sprintf("dsr%d", size), Title: fmt.Sprintf("direct server return, %d B frames of 256 flows without end", size),
		Columns: floodOfAll,
		Groups:  []load.Group{{Name: "frames", Kind: load.Packets, Conns: 256, Request: size}},
	}
}

// overload is just more than the original can forward where it has to share its processor with another program.
func overload(size int, segments bool) Scenario {
	proto := "udp"
	if segments {
		proto = "tcp"
	}
	return Scenario{
		Name:    fmt.Sprintf("dsr%d-%s", size, proto),
		Title:   fmt.Sprintf("direct server return, %d B frames of 256 flows (%s), another program on the processor", size, proto),
		Columns: frameColumns, Overload: "pen-classic",
		Groups: []load.Group{{Name: "frames", Kind: load.Packets, Conns: 256, Request: size, Segments: segments}},
	}
}
