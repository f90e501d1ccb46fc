package auth

// access says who has an operation.
type access uint8

const (
	nobody     access = iota // what the table does not name
	everybody                // without credentials, too
	reads                    // viewer, operator, admin
	changes                  // operator, admin
	administer               // admin
)

// operations says who has which operation of swagger.yml, by its id. What is not in it nobody has; a test of package handlers
// fails when an operation is missing here.
var operations = map[string]access{
	"listExecutors": reads, "createExecutor": changes, "getExecutor": reads, "putExecutor": changes, "patchExecutor": changes, "deleteExecutor": changes,
	"listSessions": reads, "getSession": reads, "putSession": changes, "patchSession": changes, "deleteSession": changes,
	"listExecs": reads, "getExec": reads, "putExec": changes, "patchExec": changes, "deleteExec": changes,
	"listMounts": reads, "getMount": reads, "putMount": changes, "patchMount": changes, "deleteMount": changes,
	"listEndpoints": reads, "getEndpoint": reads, "putEndpoint": changes, "patchEndpoint": changes, "deleteEndpoint": changes,
	"listNetworks": reads, "createNetwork": changes, "getNetwork": reads, "putNetwork": changes, "patchNetwork": changes, "deleteNetwork": changes,
	"getVM": reads, "putVM": changes, "deleteVM": changes,
	"getKeys": reads, "getStatus": reads, "push": changes, "watch": reads, "getBackup": administer,
	"getSchemaKeys": reads, "getVersion": reads,
	"getHealth": everybody, "getReadiness": everybody,

	// What the server answers beside the API. The specification and its pages are the same for everybody, and say nothing
	// of what is configured; a browser could not show a token when it opens them.
	Documentation: everybody, Metrics: reads,
}

// What the server answers beside the operations of swagger.yml.
const (
	Documentation = "documentation" // /docs and /swagger.json
	Metrics       = "metrics"
)

// guests are the operations that a VM's guest has on its own executor: what the guest sees, and what it reports. The handlers
// of these keep to keys and fields that a guest may see and set.
var guests = map[string]bool{"getKeys": true, "patchExecutor": true}

// SeesSecrets reports whether p may see the secrets of an executor in clear. Its guest sees those that it has in its VM.
func (p Principal) SeesSecrets(executor string) bool {
	return p.Role == Admin || p.Role == VM && executor != "" && executor == p.Executor
}

// MovesSecrets reports whether p may bind an executor that holds secrets to a VM that it is not bound to.
func (p Principal) MovesSecrets() bool { return p.Role == Admin }

// Public reports whether an operation needs no credentials.
func Public(operation string) bool { return operations[operation] == everybody }

// May reports whether p has an operation on an executor, whose id is empty when the operation is about none or about several.
func (p Principal) May(operation, executor string) bool {
	switch has := operations[operation]; p.Role {
	case Admin:
		return has >= everybody
	case Operator:
		return has >= everybody && has <= changes
	case Viewer:
		return has >= everybody && has <= reads
	case VM:
		return has == everybody || guests[operation] && executor != "" && executor == p.Executor
	default:
		return has == everybody
	}
}
