package executor

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Validate checks what an executor means; its syntax is the API specification's matter. It expects
// canonical form (Canonicalize) and answers with all Faults at once, or nil.
func (c *ExecutorConfig) Validate() error {
	v := &validator{}
	v.name("id", c.ID)
	v.common("", &c.Common)
	v.time("createTime", c.CreateTime)
	v.diagnostics("diagnostics", &c.Diagnostics)
	v.text("layerId", c.LayerID)
	v.text("imageId", c.ImageID)
	v.text("repoName", c.RepoName)
	v.text("hostname", c.Hostname)
	v.text("domainname", c.Domainname)
	if c.Version != nil {
		v.version("version", c.Version)
	}
	v.annotations("annotations", c.Annotations)
	v.sessions("sessions", c.Sessions)
	v.sessions("execs", c.Execs)
	v.mounts("mounts", c.Mounts)
	v.endpoints("networks", c.Networks)
	return v.faults.Err()
}

// Validate checks what a container network means, as a resource of its own: its name is what others refer to it by.
func (n *ContainerNetwork) Validate() error {
	v := &validator{}
	v.name("name", n.Name)
	v.network("", n)
	return v.faults.Err()
}

// Validate checks what is known of a VM.
func (m *ContainerVM) Validate() error {
	v := &validator{}
	v.text("version", m.Version)
	for _, name := range slices.Sorted(maps.Keys(m.Aliases)) {
		field := Path("aliases", name)
		v.fault(field, checkRunes(name))
		v.text(field, m.Aliases[name])
	}
	if i := m.Interaction; !i.IsZero() && (i.Scheme == "" || i.Host == "") {
		v.faults.Add("interaction", "must be a URL such as tcp://host:2377")
	}
	return v.faults.Err()
}

// validator collects faults. Its methods take the path of what they look at.
type validator struct{ faults Faults }

func (v *validator) fault(field string, err error) {
	if err != nil {
		v.faults.Add(field, err.Error())
	}
}

func (v *validator) text(field, s string) { v.fault(field, checkText(s)) }

func (v *validator) texts(field string, list []string) {
	for i, s := range list {
		v.text(Path(field, strconv.Itoa(i)), s)
	}
}

func (v *validator) name(field, s string) {
	if !ValidName(s) {
		v.faults.Add(field, badName)
	}
}

// time refuses the years that nanoseconds since 1970 cannot hold.
func (v *validator) time(field string, t UnixNano) {
	if t < 0 {
		v.faults.Add(field, "must be after 1970-01-01T00:00:00Z and before the year 2262")
	}
}

// seconds refuses what a guest can report and RFC 3339 cannot say.
func (v *validator) seconds(field string, t UnixSeconds) { v.year(field, t.Time()) }

func (v *validator) year(field string, t time.Time) {
	if y := t.Year(); y < 0 || y > 9999 {
		v.faults.Add(field, "must be in the years 0 to 9999")
	}
}

// names checks the keys of a map that become part of VM keys: VMX keys ignore ASCII case, so names do too.
func (v *validator) names(field string, names []string) {
	seen := make(map[string]string, len(names))
	for _, name := range names {
		v.name(Path(field, name), name)
		v.distinct(Path(field, name), seen, name)
	}
}

func (v *validator) distinct(field string, seen map[string]string, name string) {
	folded := strings.ToLower(name)
	if other, taken := seen[folded]; taken {
		v.faults.Add(field, fmt.Sprintf("must differ from %q by more than case", other))
	}
	seen[folded] = name
}

func (v *validator) common(at string, c *Common) {
	v.text(Path(at, "id"), c.ID)
	v.text(Path(at, "name"), c.Name)
	v.text(Path(at, "executionEnvironment"), c.ExecutionEnvironment)
	v.text(Path(at, "notes"), c.Notes)
}

func (v *validator) diagnostics(at string, d *Diagnostics) {
	for i, e := range d.ExitLogs {
		field := Path(at, "exitLogs", strconv.Itoa(i))
		v.text(Path(field, "message"), e.Message)
		v.year(Path(field, "time"), e.Time)
	}
	if d.SysLogConfig != nil {
		v.text(Path(at, "sysLogConfig", "network"), d.SysLogConfig.Network)
		v.text(Path(at, "sysLogConfig", "rAddr"), d.SysLogConfig.RAddr)
	}
}

func (v *validator) version(at string, b *Version) {
	v.text(Path(at, "version"), b.Version)
	v.text(Path(at, "gitCommit"), b.GitCommit)
	v.text(Path(at, "buildDate"), b.BuildDate)
	v.text(Path(at, "buildNumber"), b.BuildNumber)
	v.text(Path(at, "state"), b.State)
}

// annotations have free keys: those are percent-encoded where they cannot travel.
func (v *validator) annotations(at string, annotations map[string]string) {
	seen := make(map[string]string, len(annotations))
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		field := Path(at, key)
		switch {
		case key == "":
			v.faults.Add(at, "must not have an empty key")
		case key == noValue:
			v.fault(field, errCannotTravel)
		default:
			v.fault(field, checkAnnotationKey(key))
		}
		v.distinct(field, seen, key)
		v.text(field, annotations[key])
	}
}

func (v *validator) sessions(at string, sessions map[string]*SessionConfig) {
	ids := slices.Sorted(maps.Keys(sessions))
	v.names(at, ids)
	for _, id := range ids {
		s, field := sessions[id], Path(at, id)
		if s.ID != id {
			v.faults.Add(Path(field, "id"), "must be the session's key in the map")
		}
		v.common(field, &s.Common)
		v.seconds(Path(field, "detail", "createTime"), s.Detail.CreateTime)
		v.seconds(Path(field, "detail", "startTime"), s.Detail.StartTime)
		v.seconds(Path(field, "detail", "stopTime"), s.Detail.StopTime)
		v.text(Path(field, "cmd", "path"), s.Cmd.Path)
		v.texts(Path(field, "cmd", "args"), s.Cmd.Args)
		v.texts(Path(field, "cmd", "env"), s.Cmd.Env)
		v.text(Path(field, "cmd", "dir"), s.Cmd.Dir)
		v.text(Path(field, "started"), s.Started)
		v.text(Path(field, "stopSignal"), s.StopSignal)
		v.diagnostics(Path(field, "diagnostics"), &s.Diagnostics)
		v.text(Path(field, "user"), s.User)
		v.text(Path(field, "group"), s.Group)
	}
}

func (v *validator) mounts(at string, mounts map[string]MountSpec) {
	names := slices.Sorted(maps.Keys(mounts))
	v.names(at, names)
	paths := map[string]string{}
	for _, name := range names {
		m, field := mounts[name], Path(at, name)
		v.source(Path(field, "source"), m.Source)
		v.text(Path(field, "path"), m.Path)
		v.text(Path(field, "mode"), m.Mode)
		if !path.IsAbs(m.Path) {
			v.faults.Add(Path(field, "path"), "must be absolute")
			continue
		}
		clean := path.Clean(m.Path)
		if other, taken := paths[clean]; taken {
			v.faults.Add(Path(field, "path"), fmt.Sprintf("must differ from the path of mount %q", other))
		}
		paths[clean] = name
	}
}

// source is judged as it is encoded: percent-encoding in the URI hides nothing.
func (v *validator) source(field string, s Source) {
	v.fault(field, s.check())
	password, _ := s.User.Password()
	for _, part := range []string{s.Host, s.Path, s.RawPath, s.RawQuery, s.User.Username(), password} {
		if err := checkText(part); err != nil {
			v.fault(field, err)
			return
		}
	}
}

func (v *validator) endpoints(at string, endpoints map[string]*NetworkEndpoint) {
	names := slices.Sorted(maps.Keys(endpoints))
	v.names(at, names)
	folded := make(map[string]string, len(names))
	for _, name := range names {
		folded[strings.ToLower(name)] = name
	}
	for _, name := range names {
		e, field := endpoints[name], Path(at, name)
		if e.Name != name {
			v.faults.Add(Path(field, "name"), "must be the endpoint's key in the map")
		}
		// An endpoint's network lies below the endpoint in the key, where '.' and '/' are one.
		if outer, ok := strings.CutSuffix(strings.ToLower(name), ".network"); ok {
			if other, taken := folded[outer]; taken {
				v.faults.Add(field, fmt.Sprintf("would share keys in the VM with the network of endpoint %q: choose another name", other))
			}
		}
		v.common(field, &e.Common)
		if e.IP != nil {
			v.prefix(Path(field, "ip"), *e.IP)
		}
		v.prefix(Path(field, "assigned"), e.Assigned)
		v.ports(Path(field, "ports"), e.Ports)
		if e.NetworkRef != "" {
			v.name(Path(field, "networkRef"), e.NetworkRef)
		}
		v.network(Path(field, "network"), &e.Network)
	}
}

func (v *validator) network(at string, n *ContainerNetwork) {
	v.common(at, &n.Common)
	v.text(Path(at, "type"), n.Type)
	v.prefix(Path(at, "gateway"), n.Gateway)
	for i, d := range n.Destinations {
		v.prefix(Path(at, "destinations", strconv.Itoa(i)), d)
	}
	v.addrs(Path(at, "nameservers"), n.Nameservers)
	v.texts(Path(at, "aliases"), n.Aliases)
	v.pools(Path(at, "pools"), n)
	v.prefix(Path(at, "assigned", "gateway"), n.Assigned.Gateway)
	v.addrs(Path(at, "assigned", "nameservers"), n.Assigned.Nameservers)
}

func (v *validator) prefix(field string, p netip.Prefix) {
	if p.IsValid() && p.Addr().Is4In6() {
		v.fault(field, errMapped)
	}
}

func (v *validator) addrs(field string, list []netip.Addr) {
	for i, a := range list {
		if !a.IsValid() || a.Is4In6() || a.Zone() != "" {
			v.faults.Add(Path(field, strconv.Itoa(i)), "must be an IPv4 or IPv6 address without a zone")
		}
	}
}

func (v *validator) pools(at string, n *ContainerNetwork) {
	overlaps := overlapping(n.Pools)
	for i, r := range n.Pools {
		field := Path(at, strconv.Itoa(i))
		if !r.ordered() {
			v.faults.Add(field, "must be first-last, of one address family and in this order")
			continue
		}
		if g := n.Gateway; g.IsValid() && !(g.Contains(r.First) && g.Contains(r.Last)) {
			v.faults.Add(field, fmt.Sprintf("must lie in the gateway's prefix %s", g.Masked()))
		}
		if other, found := overlaps[i]; found {
			v.faults.Add(field, fmt.Sprintf("must not overlap pools.%d", other))
		}
	}
}

// overlapping gives ranges that overlap an earlier one in the list, by their places; none when no two do. There may be a hundred thousand,
// so each is compared with one other alone: the one that goes on furthest of those that begin no later.
func overlapping(list []Range) map[int]int {
	var order []int
	for i, r := range list {
		if r.ordered() {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(i, j int) int { return list[i].First.Compare(list[j].First) })
	found := map[int]int{}
	furthest := -1
	for _, i := range order {
		if furthest >= 0 && list[i].overlaps(list[furthest]) {
			found[max(i, furthest)] = min(i, furthest)
		}
		if furthest < 0 || list[furthest].Last.Less(list[i].Last) {
			furthest = i
		}
	}
	return found
}

// PortPattern is the form of a published port, as the API's specification writes it.
const PortPattern = `^([0-9]{1,5}:)?[0-9]{1,5}/(tcp|udp|sctp)$`

var portSyntax = regexp.MustCompile(PortPattern)

func (v *validator) ports(at string, ports []string) {
	for i, s := range ports {
		if !validPort(s) {
			v.faults.Add(Path(at, strconv.Itoa(i)), "must be [hostPort:]port/proto with ports from 1 to 65535 and proto tcp, udp or sctp")
		}
	}
}

func validPort(s string) bool {
	if !portSyntax.MatchString(s) {
		return false
	}
	numbers, _, _ := strings.Cut(s, "/")
	for n := range strings.SplitSeq(numbers, ":") {
		if p, err := strconv.ParseUint(n, 10, 16); err != nil || p == 0 {
			return false
		}
	}
	return true
}
