//go:build giouring

package ring

import (
	"reflect"
	"testing"

	"github.com/pawelgaczynski/giouring"
)

// TestABIAgainstGiouring compares our constants and structures with those of an independent port of liburing. That
// module does not link with Go 1.23 and later unless told so:
//
//	go test -tags giouring -ldflags=-checklinkname=0 ./ring/
func TestABIAgainstGiouring(t *testing.T) {
	for _, tt := range []struct {
		name         string
		ours, theirs uint64
	}{
		{"SETUP_CQSIZE", ioringSetupCQSize, uint64(giouring.SetupCQSize)},
		{"SETUP_CLAMP", ioringSetupClamp, uint64(giouring.SetupClamp)},
		{"SETUP_R_DISABLED", ioringSetupRDisabled, uint64(giouring.SetupRDisabled)},
		{"SETUP_SUBMIT_ALL", ioringSetupSubmitAll, uint64(giouring.SetupSubmitAll)},
		{"SETUP_TASKRUN_FLAG", ioringSetupTaskrunFlag, uint64(giouring.SetupTaskrunFlag)},
		{"SETUP_SINGLE_ISSUER", ioringSetupSingleIssuer, uint64(giouring.SetupSingleIssuer)},
		{"SETUP_DEFER_TASKRUN", ioringSetupDeferTaskrun, uint64(giouring.SetupDeferTaskrun)},
		{"FEAT_SINGLE_MMAP", ioringFeatSingleMmap, uint64(giouring.FeatSingleMMap)},
		{"FEAT_NODROP", ioringFeatNoDrop, uint64(giouring.FeatNoDrop)},
		{"FEAT_FAST_POLL", ioringFeatFastPoll, uint64(giouring.FeatFastPoll)},
		{"FEAT_EXT_ARG", ioringFeatExtArg, uint64(giouring.FeatExtArg)},
		{"FEAT_CQE_SKIP", ioringFeatCQESkip, uint64(giouring.FeatCQESkip)},
		{"ENTER_GETEVENTS", ioringEnterGetEvents, uint64(giouring.EnterGetEvents)},
		{"ENTER_EXT_ARG", ioringEnterExtArg, uint64(giouring.EnterExtArg)},
		{"ENTER_REGISTERED_RING", ioringEnterRegisteredRing, uint64(giouring.EnterRegisteredRing)},
		{"REGISTER_RESTRICTIONS", ioringRegisterRestrictions, uint64(giouring.RegisterRestrictions)},
		{"REGISTER_ENABLE_RINGS", ioringRegisterEnableRings, uint64(giouring.RegisterEnableRings)},
		{"REGISTER_RING_FDS", ioringRegisterRingFDs, uint64(giouring.RegisterRingFDs)},
		{"UNREGISTER_RING_FDS", ioringUnregisterRingFDs, uint64(giouring.UnregisterRingFDs)},
		{"REGISTER_PBUF_RING", ioringRegisterPbufRing, uint64(giouring.RegisterPbufRing)},
		{"OP_NOP", ioringOpNop, uint64(giouring.OpNop)},
		{"OP_POLL_ADD", ioringOpPollAdd, uint64(giouring.OpPollAdd)},
		{"OP_RECVMSG", ioringOpRecvmsg, uint64(giouring.OpRecvmsg)},
		{"OP_ACCEPT", ioringOpAccept, uint64(giouring.OpAccept)},
		{"OP_ASYNC_CANCEL", ioringOpAsyncCancel, uint64(giouring.OpAsyncCancel)},
		{"OP_SEND", ioringOpSend, uint64(giouring.OpSend)},
		{"OP_RECV", ioringOpRecv, uint64(giouring.OpRecv)},
		{"OP_MSG_RING", ioringOpMsgRing, uint64(giouring.OpMsgRing)},
		{"IOSQE_BUFFER_SELECT", iosqeBufferSelect, uint64(giouring.SqeBufferSelect)},
		{"IOSQE_CQE_SKIP_SUCCESS", iosqeCQESkipSuccess, uint64(giouring.SqeCQESkipSuccess)},
		{"ASYNC_CANCEL_ALL", ioringAsyncCancelAll, uint64(giouring.AsyncCancelAll)},
		{"ASYNC_CANCEL_ANY", ioringAsyncCancelAny, uint64(giouring.AsyncCancelAny)},
		{"POLL_ADD_MULTI", ioringPollAddMulti, uint64(giouring.PollAddMulti)},
		{"RECVSEND_POLL_FIRST", ioringRecvsendPoll, uint64(giouring.RecvsendPollFirst)},
		{"RECV_MULTISHOT", ioringRecvMultishot, uint64(giouring.RecvMultishot)},
		{"ACCEPT_MULTISHOT", ioringAcceptMultishot, uint64(giouring.AcceptMultishot)},
		{"MSG_DATA", ioringMsgData, uint64(giouring.MsgData)},
		{"CQE_F_BUFFER", ioringCQEFBuffer, uint64(giouring.CQEFBuffer)},
		{"CQE_F_MORE", ioringCQEFMore, uint64(giouring.CQEFMore)},
		{"CQE_F_SOCK_NONEMPTY", ioringCQEFSockNonempty, uint64(giouring.CQEFSockNonempty)},
		{"CQE_BUFFER_SHIFT", ioringCQEBufferShift, uint64(giouring.CQEBufferShift)},
		{"SQ_CQ_OVERFLOW", ioringSQCQOverflow, uint64(giouring.SQCQOverflow)},
		{"SQ_TASKRUN", ioringSQTaskrun, uint64(giouring.SQTaskrun)},
		{"RESTRICTION_REGISTER_OP", ioringRestrictionRegisterOp, uint64(giouring.RestrictionRegisterOp)},
		{"RESTRICTION_SQE_OP", ioringRestrictionSQEOp, uint64(giouring.RestrictionSQEOp)},
		{"RESTRICTION_SQE_FLAGS_ALLOWED", ioringRestrictionSQEFlagsAllowed, uint64(giouring.RestrictionSQEFlagsAllowed)},
	} {
		if tt.ours != tt.theirs {
			t.Errorf("IORING_%s is %#x, giouring has %#x", tt.name, tt.ours, tt.theirs)
		}
	}

	for _, tt := range []struct {
		ours, theirs any
		fields       map[string]string // ours: theirs
	}{
		{sqe{}, giouring.SubmissionQueueEntry{}, map[string]string{
			"opcode": "OpCode", "flags": "Flags", "ioprio": "IoPrio", "fd": "Fd", "off": "Off", "addr": "Addr",
			"len": "Len", "opFlags": "OpcodeFlags", "userData": "UserData", "bufGroup": "BufIG",
			"personality": "Personality", "optLen": "SpliceFdIn", "addr3": "Addr3"}},
		{cqe{}, giouring.CompletionQueueEvent{}, map[string]string{
			"userData": "UserData", "res": "Res", "flags": "Flags"}},
		{ringParams{}, giouring.Params{}, map[string]string{
			"sqEntries": "sqEntries", "cqEntries": "cqEntries", "flags": "flags", "features": "features",
			"wqFD": "wqFd", "sqOff": "sqOff", "cqOff": "cqOff"}},
		{sqRingOffsets{}, giouring.SQRingOffsets{}, map[string]string{
			"head": "head", "tail": "tail", "ringMask": "ringMask", "flags": "flags", "array": "array"}},
		{cqRingOffsets{}, giouring.CQRingOffsets{}, map[string]string{
			"head": "head", "tail": "tail", "ringMask": "ringMask", "overflow": "overflow", "cqes": "cqes"}},
		{ringRestriction{}, giouring.Restriction{}, map[string]string{"kind": "OpCode", "value": "OpFlags"}},
		{ringBuf{}, giouring.BufAndRing{}, map[string]string{
			"addr": "Addr", "len": "Len", "bid": "Bid", "tail": "Tail"}},
		{ringBufReg{}, giouring.BufReg{}, map[string]string{
			"ringAddr": "RingAddr", "ringEntries": "RingEntries", "bgid": "Bgid", "flags": "Pad"}},
		{ringUpdate{}, giouring.RsrcUpdate{}, map[string]string{"offset": "Offset", "data": "Data"}},
		{geteventsArg{}, giouring.GetEventsArg{}, map[string]string{
			"sigmask": "sigMask", "sigmaskSz": "sigMaskSz", "ts": "ts"}},
	} {
		a, b := reflect.TypeOf(tt.ours), reflect.TypeOf(tt.theirs)
		if a.Size() != b.Size() {
			t.Errorf("%v has %d bytes, giouring's %v %d", a, a.Size(), b, b.Size())
		}
		for our, their := range tt.fields {
			f, ok1 := a.FieldByName(our)
			g, ok2 := b.FieldByName(their)
			if !ok1 || !ok2 || f.Offset != g.Offset || f.Type.Size() != g.Type.Size() {
				t.Errorf("%v.%s is at %d+%d, giouring's %s at %d+%d",
					a, our, f.Offset, f.Type.Size(), their, g.Offset, g.Type.Size())
			}
		}
	}
}
