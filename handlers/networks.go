package handlers

import (
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/restapi/operations/networks"
	"github.com/vmexecutor/config-server/store"
)

type networkHandlers struct{ store *store.Store }

func (h *networkHandlers) list(params networks.ListNetworksParams) (networks.ListNetworksResponder, error) {
	page, err := h.store.ListNetworks(params.HTTPRequest.Context(), store.NetworkQuery{
		Lookup: value(params.Lookup), Annotations: params.Annotation, Paging: paging(params.Limit, params.Continue),
	})
	if err != nil {
		return nil, err
	}
	list := &models.NetworkList{Items: []*models.Network{}, Continue: page.Continue, Revision: page.Revision}
	for _, n := range page.Items {
		list.Items = append(list.Items, networkModel(n))
	}
	return networks.NewListNetworksOK().WithPayload(list), nil
}

func (h *networkHandlers) create(params networks.CreateNetworkParams) (networks.CreateNetworkResponder, error) {
	network, err := readNetwork(params.Body, params.Body.Name)
	if err != nil {
		return nil, err
	}
	n, err := h.store.CreateNetwork(params.HTTPRequest.Context(), network)
	if err != nil {
		return nil, err
	}
	return networks.NewCreateNetworkCreated().WithETag(etag(n.Tag())).WithLocation(networkPath(n)).WithPayload(networkModel(n)), nil
}

func (h *networkHandlers) get(params networks.GetNetworkParams) (networks.GetNetworkResponder, error) {
	n, err := h.store.Network(params.HTTPRequest.Context(), params.Name)
	switch {
	case err != nil:
		return nil, err
	case known(params.IfNoneMatch, n.Tag()):
		return networks.NewGetNetworkNotModified().WithETag(etag(n.Tag())), nil
	}
	return networks.NewGetNetworkOK().WithETag(etag(n.Tag())).WithPayload(networkModel(n)), nil
}

func (h *networkHandlers) put(params networks.PutNetworkParams) (networks.PutNetworkResponder, error) {
	options, err := conditions("", params.IfMatch, params.IfNoneMatch, false)
	if err != nil {
		return nil, err
	}
	network, err := readNetwork(params.Body, params.Name)
	if err != nil {
		return nil, err
	}
	n, created, err := h.store.PutNetwork(params.HTTPRequest.Context(), network, options...)
	switch {
	case err != nil:
		return nil, err
	case created:
		return networks.NewPutNetworkCreated().WithETag(etag(n.Tag())).WithLocation(networkPath(n)).WithPayload(networkModel(n)), nil
	}
	return networks.NewPutNetworkOK().WithETag(etag(n.Tag())).WithPayload(networkModel(n)), nil
}

func (h *networkHandlers) patch(params networks.PatchNetworkParams) (networks.PatchNetworkResponder, error) {
	patch, err := tree(params.Body)
	if err != nil {
		return nil, err
	}
	options, err := conditions("", params.IfMatch, nil, false) // nobody reports on a container network itself
	if err != nil {
		return nil, err
	}
	n, err := h.store.UpdateNetwork(params.HTTPRequest.Context(), params.Name, func(n *store.Network) error {
		m, err := patched(networkModel(n), params.Body, patch)
		if err != nil {
			return err
		}
		*n, err = readNetwork(m, params.Name)
		return err
	}, options...)
	if err != nil {
		return nil, err
	}
	return networks.NewPatchNetworkOK().WithETag(etag(n.Tag())).WithPayload(networkModel(n)), nil
}

func (h *networkHandlers) delete(params networks.DeleteNetworkParams) (networks.DeleteNetworkResponder, error) {
	options, err := conditions("", params.IfMatch, nil, false)
	if err != nil {
		return nil, err
	}
	if err := h.store.DeleteNetwork(params.HTTPRequest.Context(), params.Name, options...); err != nil {
		return nil, err
	}
	return networks.NewDeleteNetworkNoContent(), nil
}

// readNetwork reads the document of a container network that has a name outside it; a new one's is its own.
func readNetwork(m *models.Network, name string) (store.Network, error) {
	var r reader
	r.validate("", m)
	r.agree("name", &m.Name, name)
	network := r.network(m)
	return network, r.networkErr(network)
}

func networkPath(n *store.Network) string { return "/v1/networks/" + n.Config.Name }
