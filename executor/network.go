package executor

import "net/netip"

// NetworkEndpoint is one executor's presence on a container network.
type NetworkEndpoint struct {
	Common // ID is the PCI slot of the network card, Name the endpoint's own

	// Static keeps the guest from asking for an address: it uses IP as given.
	Static bool `vic:"0.1" scope:"read-only" key:"static" json:"static,omitempty"`
	// IP is the address to use and its network; nil asks the guest to find one.
	IP *netip.Prefix `vic:"0.1" scope:"read-only" key:"ip" json:"ip,omitempty"`
	// Assigned is the address that the guest really got. The guest reports it.
	Assigned netip.Prefix `vic:"0.1" scope:"read-write" key:"assigned" json:"assigned,omitzero"`
	// Network is what the guest needs to know of the network.
	Network ContainerNetwork `vic:"0.1" scope:"read-only" key:"network" json:"network,omitzero"`
	// Ports are published ports, [hostPort:]port/proto.
	Ports []string `vic:"0.1" scope:"read-only" key:"ports" json:"ports,omitempty"`
	// Internal keeps the endpoint from being a way out of the network.
	Internal bool `vic:"0.1" scope:"read-only" key:"internal" json:"internal,omitempty"`

	// NetworkRef names the container network that Network follows; empty when it follows none.
	NetworkRef string `vic:"-" json:"networkRef,omitempty"`
}

// ContainerNetwork is a network that many executors can join.
type ContainerNetwork struct {
	Common

	// Type is the kind of network, such as bridge or external.
	Type string `vic:"0.1" scope:"read-write" key:"type" json:"type,omitempty"`
	// Destinations are the networks reached through Gateway, masked.
	Destinations []netip.Prefix `vic:"0.1" scope:"read-only" key:"destinations" json:"destinations,omitempty"`
	// Gateway is the gateway's address and the network's prefix.
	Gateway netip.Prefix `vic:"0.1" scope:"read-only" key:"gateway" json:"gateway,omitzero"`
	// Default makes this network's gateway the default route.
	Default bool `vic:"0.1" scope:"read-only" key:"default" json:"default,omitempty"`
	// Nameservers in the order that they are asked.
	Nameservers []netip.Addr `vic:"0.1" scope:"read-only" key:"dns" json:"nameservers,omitempty"`
	// Pools are the ranges that addresses are given out from.
	Pools []Range `vic:"0.1" scope:"read-only" key:"pools" json:"pools,omitempty"`
	// Aliases are names for the executor on this network, container:alias. No guest sees them.
	Aliases []string `vic:"0.1" scope:"hidden" key:"aliases" json:"aliases,omitempty"`
	// TrustLevel says who may talk to whom on the network.
	// (A field and not embedded, whose methods would become the network's; the key is the same.)
	TrustLevel TrustLevel `json:"trustLevel,omitzero"`
	// Assigned is what the guest found when it joined. The guest reports it.
	Assigned AssignedNetwork `vic:"0.1" scope:"read-write" key:"assigned" json:"assigned,omitzero"`
}

// AssignedNetwork is what a guest learned of a network by joining it.
type AssignedNetwork struct {
	Gateway     netip.Prefix `vic:"0.1" scope:"read-write" key:"gateway" json:"gateway,omitzero"`
	Nameservers []netip.Addr `vic:"0.1" scope:"read-write" key:"dns" json:"nameservers,omitempty"`
}
