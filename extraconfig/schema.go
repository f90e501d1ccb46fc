package extraconfig

// Field is one field of the document and where it lives in a VM.
type Field struct {
	Path string // dotted, * for the entries of a map, [] for those of a list: diagnostics.exitLogs[].time
	// Key is the template of the field's key, * for names and indexes. A list has its length there and
	// its plain elements at the same key with ~, a CIDR its parts at IP and Mask below it, a URL at its parts' names.
	Key           string
	Scope         Scope
	Secret        bool
	NonPersistent bool
	Type          string
}

// Fields gives every field that has a key, in the order of the document.
func (c *Codec[T]) Fields() []Field { return append([]Field(nil), c.schema...) }

// describe notes a node in the schema.
func (c *compiler) describe(n *node) {
	if n.kind == kindStruct || n.kind == kindPointer {
		return
	}
	p := n.place
	f := Field{Path: p.doc, Key: p.key(p.secret), Scope: p.scope, Secret: p.secret, NonPersistent: p.nonPersistent, Type: kindNames[n.kind]}
	c.schema = append(c.schema, f)
	if n.kind == kindURL {
		p.draft = p.draft.join(p.scope, urlParts[partUser-partURL])
		f.Key, f.Secret, f.Type = p.key(true), true, "URL credentials"
		c.schema = append(c.schema, f)
	}
}

func (p place) key(secret bool) string {
	t := p.draft.template(p.suffix(secret))
	return t.text()
}
