package simulator

import (
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// What clients ask of property collectors, their filters, and list views.

func (a *annex) reader(ctx *simulator.Context) reader { return reader{a.sim, ctx} }

func missing(ref types.ManagedObjectReference) *soap.Fault {
	return simulator.Fault("The object has already been deleted or has not been completely created", &types.ManagedObjectNotFound{Obj: ref})
}

// retrieve reads what is selected, all at once.
func (a *annex) retrieve(ctx *simulator.Context, specs []types.PropertyFilterSpec) ([]types.ObjectContent, *soap.Fault) {
	r := a.reader(ctx)
	var all []types.ObjectContent
	for i := range specs {
		selected, fault := r.selects(&specs[i])
		if notFound, ok := fault.(*types.ManagedObjectNotFound); ok {
			return nil, missing(notFound.Obj)
		}
		if fault != nil {
			return nil, simulator.Fault("", fault)
		}
		for _, ref := range selected.order {
			if content, ok := r.content(ref, specs[i].PropSet); ok {
				all = append(all, content)
			}
		}
	}
	return all, nil
}

func (a *annex) RetrieveProperties(ctx *simulator.Context, req *types.RetrieveProperties) soap.HasFault {
	body := new(methods.RetrievePropertiesBody)
	all, fault := a.retrieve(ctx, req.SpecSet)
	if fault != nil {
		body.Fault_ = fault
		return body
	}
	body.Res = &types.RetrievePropertiesResponse{Returnval: all}
	return body
}

// page is what is left of an answer that was too long.
type page struct {
	session string
	rest    []types.ObjectContent
	most    int
}

func (a *annex) RetrievePropertiesEx(ctx *simulator.Context, req *types.RetrievePropertiesEx) soap.HasFault {
	body := new(methods.RetrievePropertiesExBody)
	all, fault := a.retrieve(ctx, req.SpecSet)
	if fault != nil {
		body.Fault_ = fault
		return body
	}
	body.Res = new(types.RetrievePropertiesExResponse)
	if len(all) > 0 {
		body.Res.Returnval = a.firstOf(page{ctx.Session.Key, all, int(req.Options.MaxObjects)})
	}
	return body
}

func (a *annex) firstOf(p page) *types.RetrieveResult {
	if p.most <= 0 || len(p.rest) <= p.most {
		return &types.RetrieveResult{Objects: p.rest}
	}
	result := &types.RetrieveResult{Token: uuid.NewString(), Objects: p.rest[:p.most]}
	p.rest = p.rest[p.most:]
	a.sim.pages.Store(result.Token, p)
	return result
}

func (a *annex) ContinueRetrievePropertiesEx(ctx *simulator.Context, req *types.ContinueRetrievePropertiesEx) soap.HasFault {
	body := new(methods.ContinueRetrievePropertiesExBody)
	found, ok := a.sim.pages.LoadAndDelete(req.Token)
	p, _ := found.(page)
	if !ok || p.session != ctx.Session.Key {
		body.Fault_ = simulator.Fault("", &types.InvalidArgument{InvalidProperty: "token"})
		return body
	}
	body.Res = &types.ContinueRetrievePropertiesExResponse{Returnval: *a.firstOf(p)}
	return body
}

func (a *annex) CancelRetrievePropertiesEx(_ *simulator.Context, req *types.CancelRetrievePropertiesEx) soap.HasFault {
	a.sim.pages.Delete(req.Token)
	return &methods.CancelRetrievePropertiesExBody{Res: new(types.CancelRetrievePropertiesExResponse)}
}

func (a *annex) CreatePropertyCollector(ctx *simulator.Context, _ *types.CreatePropertyCollector) soap.HasFault {
	return &methods.CreatePropertyCollectorBody{Res: &types.CreatePropertyCollectorResponse{
		Returnval: a.sim.watchers.createCollector(ctx.Session.Key),
	}}
}

func (a *annex) collector(ctx *simulator.Context, ref types.ManagedObjectReference) *collector {
	return a.sim.watchers.collector(ctx.Session.Key, ref, a.sim.model.ServiceContent.PropertyCollector)
}

func (a *annex) DestroyPropertyCollector(ctx *simulator.Context, req *types.DestroyPropertyCollector) soap.HasFault {
	body := new(methods.DestroyPropertyCollectorBody)
	if a.collector(ctx, req.This) == nil {
		body.Fault_ = missing(req.This)
		return body
	}
	a.sim.watchers.destroyCollector(ctx.Session.Key, req.This)
	body.Res = new(types.DestroyPropertyCollectorResponse)
	return body
}

func (a *annex) CreateFilter(ctx *simulator.Context, req *types.CreateFilter) soap.HasFault {
	body := new(methods.CreateFilterBody)
	c := a.collector(ctx, req.This)
	if c == nil {
		body.Fault_ = missing(req.This)
		return body
	}
	switch _, fault := a.reader(ctx).selects(&req.Spec); fault := fault.(type) {
	case nil:
	case *types.ManagedObjectNotFound:
		body.Fault_ = missing(fault.Obj)
		return body
	default:
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	f := &filter{spec: req.Spec, partial: req.PartialUpdates, paths: make(map[string]watched)}
	f.spec.ReportMissingObjectsInResults = new(true) // what goes later leaves the filter
	body.Res = &types.CreateFilterResponse{Returnval: a.sim.watchers.createFilter(ctx.Session.Key, c, f)}
	return body
}

func (a *annex) DestroyPropertyFilter(ctx *simulator.Context, req *types.DestroyPropertyFilter) soap.HasFault {
	body := new(methods.DestroyPropertyFilterBody)
	if !a.sim.watchers.destroyFilter(ctx.Session.Key, req.This) {
		body.Fault_ = missing(req.This)
		return body
	}
	body.Res = new(types.DestroyPropertyFilterResponse)
	return body
}

func (a *annex) wait(ctx *simulator.Context, ref types.ManagedObjectReference, version string, options *types.WaitOptions) (*types.UpdateSet, *soap.Fault) {
	c := a.collector(ctx, ref)
	if c == nil {
		return nil, missing(ref)
	}
	o := waitOptions{limit: -1, objects: maxUpdates}
	if options != nil {
		if options.MaxWaitSeconds != nil {
			o.limit = time.Duration(*options.MaxWaitSeconds) * time.Second
		}
		if most := int(options.MaxObjectUpdates); most > 0 {
			o.objects = min(most, maxUpdates)
		}
	}
	set, fault := c.waitFor(a.reader(ctx), version, o)
	if fault != nil {
		return nil, simulator.Fault("", fault)
	}
	return set, nil
}

func (a *annex) WaitForUpdatesEx(ctx *simulator.Context, req *types.WaitForUpdatesEx) soap.HasFault {
	body := new(methods.WaitForUpdatesExBody)
	set, fault := a.wait(ctx, req.This, req.Version, req.Options)
	if fault != nil {
		body.Fault_ = fault
		return body
	}
	body.Res = &types.WaitForUpdatesExResponse{Returnval: set}
	return body
}

func (a *annex) WaitForUpdates(ctx *simulator.Context, req *types.WaitForUpdates) soap.HasFault {
	body := new(methods.WaitForUpdatesBody)
	set, fault := a.wait(ctx, req.This, req.Version, nil)
	if fault != nil {
		body.Fault_ = fault
		return body
	}
	body.Res = &types.WaitForUpdatesResponse{Returnval: *set}
	return body
}

func (a *annex) CancelWaitForUpdates(ctx *simulator.Context, req *types.CancelWaitForUpdates) soap.HasFault {
	body := new(methods.CancelWaitForUpdatesBody)
	c := a.collector(ctx, req.This)
	if c == nil {
		body.Fault_ = missing(req.This)
		return body
	}
	c.cancel()
	body.Res = new(types.CancelWaitForUpdatesResponse)
	return body
}

// unresolved splits references into those of objects and those of nothing.
func (a *annex) unresolved(ctx *simulator.Context, refs []types.ManagedObjectReference) (there, not []types.ManagedObjectReference) {
	r := a.reader(ctx)
	for _, ref := range refs {
		if r.exists(ref) {
			there = append(there, ref)
		} else {
			not = append(not, ref)
		}
	}
	return there, not
}

func (a *annex) CreateListView(ctx *simulator.Context, req *types.CreateListView) soap.HasFault {
	body := new(methods.CreateListViewBody)
	there, not := a.unresolved(ctx, req.Obj)
	if len(not) > 0 {
		body.Fault_ = missing(not[0])
		return body
	}
	body.Res = &types.CreateListViewResponse{Returnval: a.sim.watchers.createView(ctx.Session.Key, there)}
	return body
}

func (a *annex) ModifyListView(ctx *simulator.Context, req *types.ModifyListView) soap.HasFault {
	body := new(methods.ModifyListViewBody)
	v := a.sim.watchers.view(ctx.Session.Key, req.This)
	if v == nil {
		body.Fault_ = missing(req.This)
		return body
	}
	there, not := a.unresolved(ctx, req.Add)
	v.modify(there, req.Remove)
	a.sim.watchers.changed(req.This, nil, change{})
	body.Res = &types.ModifyListViewResponse{Returnval: not}
	return body
}

func (a *annex) ResetListView(ctx *simulator.Context, req *types.ResetListView) soap.HasFault {
	body := new(methods.ResetListViewBody)
	v := a.sim.watchers.view(ctx.Session.Key, req.This)
	if v == nil {
		body.Fault_ = missing(req.This)
		return body
	}
	there, not := a.unresolved(ctx, req.Obj)
	v.reset()
	v.modify(there, nil)
	a.sim.watchers.changed(req.This, nil, change{})
	body.Res = &types.ResetListViewResponse{Returnval: not}
	return body
}

func (a *annex) DestroyView(ctx *simulator.Context, req *types.DestroyView) soap.HasFault {
	a.sim.watchers.destroyView(ctx.Session.Key, req.This)
	return &methods.DestroyViewBody{Res: new(types.DestroyViewResponse)}
}
