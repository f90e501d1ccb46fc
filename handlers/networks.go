package handlers

import (
	"github.com/vmexecutor/config-server/models"
	"github.com/vmexecutor/config-server/restapi/operations/networks"
	"github.com/vmexecutor/config-server/store"
)

type networkHandlers struct{ store *store.Store }

func (h *networkHandlers) list(params networks.ListNetworksParams) (networks.ListNetworksResponder, error) {
	list, revision, err := h.store.Networks(params.HTTPRequest.Context())
	if err != nil {
		return nil, err
	}
	items := make([]*models.Network, len(list))
	for i, n := range list {
		items[i] = networkModel(n)
	}
	return networks.NewListNetworksOK().WithPayload(&models.NetworkList{Items: items, Revision: revision}), nil
}

func (h *networkHandlers) create(params networks.CreateNetworkParams) (networks.CreateNetworkResponder, error) {
	var r reader
	network := r.network(params.Body)
	if err := r.networkErr(network); err != nil {
		return nil, err
	}
	n, err := h.store.CreateNetwork(params.HTTPRequest.Context(), network)
	if err != nil {
		return nil, err
	}
	return networks.NewCreateNetworkCreated().WithLocation(networkPath(n)).WithPayload(networkModel(n)), nil
}

func (h *networkHandlers) get(params networks.GetNetworkParams) (networks.GetNetworkResponder, error) {
	n, err := h.store.Network(params.HTTPRequest.Context(), params.Name)
	if err != nil {
		return nil, err
	}
	return networks.NewGetNetworkOK().WithPayload(networkModel(n)), nil
}

func (h *networkHandlers) put(params networks.PutNetworkParams) (networks.PutNetworkResponder, error) {
	var r reader
	r.agree("name", &params.Body.Name, params.Name)
	network := r.network(params.Body)
	if err := r.networkErr(network); err != nil {
		return nil, err
	}
	n, created, err := h.store.PutNetwork(params.HTTPRequest.Context(), network)
	switch {
	case err != nil:
		return nil, err
	case created:
		return networks.NewPutNetworkCreated().WithLocation(networkPath(n)).WithPayload(networkModel(n)), nil
	}
	return networks.NewPutNetworkOK().WithPayload(networkModel(n)), nil
}

func (h *networkHandlers) delete(params networks.DeleteNetworkParams) (networks.DeleteNetworkResponder, error) {
	if err := h.store.DeleteNetwork(params.HTTPRequest.Context(), params.Name); err != nil {
		return nil, err
	}
	return networks.NewDeleteNetworkNoContent(), nil
}

func networkPath(n *store.Network) string { return "/v1/networks/" + n.Config.Name }
