package simulator

import (
	"regexp"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// who answers a method.
type who int

const (
	govmomis who = iota + 1 // govmomi's simulator
	ours                    // the annex
)

// served are the methods that there are: what our driver and govc need for the inventory, and for
// an operator's work on VMs. Everything else is refused: govmomi's simulator does much to the
// machine that it runs on.
var served = map[string]who{
	"RetrieveServiceContent": govmomis, "CurrentTime": govmomis,
	"Login": govmomis, "Logout": govmomis, "SessionIsActive": govmomis, "TerminateSession": govmomis,

	"RetrieveProperties": ours, "RetrievePropertiesEx": ours, "ContinueRetrievePropertiesEx": ours, "CancelRetrievePropertiesEx": ours,
	"CreatePropertyCollector": ours, "DestroyPropertyCollector": ours, "CreateFilter": ours, "DestroyPropertyFilter": ours,
	"WaitForUpdatesEx": ours, "WaitForUpdates": ours, "CancelWaitForUpdates": ours,
	"CreateListView": ours, "ModifyListView": ours, "ResetListView": ours,
	"CreateContainerView": govmomis, "DestroyView": govmomis,
	"FindByInventoryPath": ours, "FindChild": ours, "FindByUuid": govmomis, "FindAllByUuid": govmomis,

	"ReconfigVM_Task": ours, "PowerOnVM_Task": ours, "PowerOffVM_Task": ours, "SuspendVM_Task": ours, "ResetVM_Task": ours, "ShutdownGuest": ours, "RebootGuest": ours,
	"CreateSnapshot_Task": ours, "CreateSnapshotEx_Task": ours, "RevertToSnapshot_Task": ours, "RevertToCurrentSnapshot_Task": ours,
	"CreateVM_Task": govmomis, "CloneVM_Task": govmomis, "RegisterVM_Task": govmomis, "UnregisterVM": govmomis, "Destroy_Task": govmomis,
	"CreateFolder": govmomis, "MoveIntoFolder_Task": govmomis, "Rename_Task": govmomis, "MarkAsTemplate": govmomis, "MarkAsVirtualMachine": govmomis,
}

// withoutSession are the methods for who has not logged in.
var withoutSession = map[string]bool{"RetrieveServiceContent": true, "Login": true, "CurrentTime": true}

// intercept sees each call before it is known who answers it. Panics of ours (see cut) are safe
// here, as no lock is held.
func (s *Simulator) intercept(ctx *simulator.Context, method *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	s.mu.Lock()
	s.calls[method.Name]++
	s.mu.Unlock()
	s.pause(s.latency().Call)
	if ctx.Session == nil && !withoutSession[method.Name] {
		return nil, &types.NotAuthenticated{NoPermission: types.NoPermission{Object: &method.This, PrivilegeId: "System.View"}}
	}
	if fault := s.failCall(method.Name); fault != nil {
		return nil, fault
	}
	answers := served[method.Name]
	if answers == 0 {
		return nil, &types.MethodNotFound{Receiver: method.This, Method: method.Name}
	}
	switch req := method.Body.(type) {
	case *types.Login:
		s.forgetSessions(ctx)
	case *types.Logout:
		ended := ctx.Session.Key
		s.watchers.forget(func(session string) bool { return session == ended })
	case *types.FindAllByUuid:
		if req.VmSearch {
			answers = ours
		}
	case *types.FindByUuid:
		if req.VmSearch {
			answers = ours
		}
	case *types.DestroyView:
		if req.This.Type == "ListView" {
			answers = ours
		}
	case *types.CreateVM_Task:
		return nil, refuse(req.Config.ExtraConfig, commands, unreadable)
	case *types.CloneVM_Task:
		if req.Spec.Config != nil {
			return nil, refuse(req.Spec.Config.ExtraConfig, commands, unreadable)
		}
	}
	if answers == ours {
		method.This = annexRef // what was asked stays in the request's own field
	}
	return nil, nil
}

// forgetSessions drops what sessions left that have ended without a log-out.
func (s *Simulator) forgetSessions(ctx *simulator.Context) {
	manager := ctx.Map.SessionManager()
	seen := make(map[string]bool)
	s.watchers.forget(func(session string) bool {
		active, known := seen[session]
		if !known {
			body, ok := manager.SessionIsActive(ctx, &types.SessionIsActive{SessionID: session, UserName: Username}).(*methods.SessionIsActiveBody)
			active = ok && body.Res != nil && body.Res.Returnval
			seen[session] = active
		}
		return !active
	})
}

var (
	// commands are the keys with which govmomi's simulator is told to run containers on this
	// machine, or to change properties of a VM.
	commands = regexp.MustCompile(`(?i)^(RUN\.|SET\.|ip0$)`)
	// unreadable are the keys that end the process where govmomi writes them into a property's path.
	unreadable = regexp.MustCompile(`\]`)
)

func refuse(options []types.BaseOptionValue, keys ...*regexp.Regexp) types.BaseMethodFault {
	for _, o := range options {
		for _, k := range keys {
			if k.MatchString(o.GetOptionValue().Key) {
				return &types.InvalidArgument{InvalidProperty: "extraConfig"}
			}
		}
	}
	return nil
}
