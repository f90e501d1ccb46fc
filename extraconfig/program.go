package extraconfig

import (
	"slices"
	"strings"
)

// step is one move of the encoder. A program's steps are in the order of the keys that they
// write, so that their output hardly ever needs sorting.
type step struct {
	path []int  // fields from the frame's value on; pointers on the way are followed, nil ends the step
	leaf *leaf  // what to write, or
	over *node  // the list or map whose entries to go over, or neither
	body []step // for each entry, or for the struct at the path
	// All keys that a loop writes go on with this literal, and then with the entry's name in this style.
	literal string
	style   style
}

// assemble makes the program that writes all leaves, and those of every field and of what is below it.
func assemble(leaves []*leaf) (all []step, parts map[string][]step) {
	var sorted []*leaf
	keys := map[*leaf]string{}
	for _, l := range leaves {
		if l.part != partElement {
			sorted = append(sorted, l)
			keys[l] = strings.Join(l.key.literals, hole) + l.key.suffix
		}
	}
	slices.SortStableFunc(sorted, func(a, b *leaf) int { return strings.Compare(keys[a], keys[b]) })
	below := map[string][]*leaf{}
	for _, l := range sorted {
		for at := 0; at >= 0; {
			if n := strings.IndexByte(l.path[at:], '.'); n >= 0 {
				at += n
				below[l.path[:at]] = append(below[l.path[:at]], l)
				at++
				continue
			}
			below[l.path] = append(below[l.path], l)
			at = -1
		}
	}
	parts = make(map[string][]step, len(below))
	for path, part := range below {
		parts[path] = loops(part, 0, 0)
	}
	return loops(sorted, 0, 0), parts
}

// loops puts the leaves below one list or map, which are neighbours, into a loop. The first hops
// of every leaf, those of the enclosing loops, are done; level counts the loops.
func loops(leaves []*leaf, done, level int) []step {
	var program []step
	for i := 0; i < len(leaves); {
		l := leaves[i]
		path, next := fieldsUntilEntry(l.steps[done:])
		if next < 0 {
			program = append(program, step{path: path, leaf: l})
			i++
			continue
		}
		j := i + 1
		for j < len(leaves) && sameLoop(l, leaves[j], done+next, level) {
			j++
		}
		program = append(program, step{
			path:    path,
			over:    l.steps[done+next].entry,
			body:    loops(leaves[i:j], done+next+1, level+1),
			literal: l.key.literals[level],
			style:   l.key.styles[level],
		})
		i = j
	}
	return nest(program)
}

// nest makes neighbours that begin with the same field one step, so that the way to that field is gone once.
func nest(program []step) []step {
	var grouped []step
	for i := 0; i < len(program); {
		j := i + 1
		for j < len(program) && len(program[i].path) > 1 && len(program[j].path) > 1 && program[i].path[0] == program[j].path[0] {
			j++
		}
		if j == i+1 {
			grouped = append(grouped, program[i])
			i = j
			continue
		}
		body := slices.Clone(program[i:j])
		for k := range body {
			body[k].path = body[k].path[1:]
		}
		grouped = append(grouped, step{path: program[i].path[:1], body: nest(body)})
		i = j
	}
	return grouped
}

// fieldsUntilEntry gives the fields up to the next entry, and where that is; -1 for none.
func fieldsUntilEntry(hops []hop) (path []int, next int) {
	for i, h := range hops {
		if h.entry != nil {
			return path, i
		}
		path = append(path, h.field)
	}
	return path, -1
}

// sameLoop reports whether two leaves go over the same entries at keys that begin alike.
func sameLoop(a, b *leaf, at, level int) bool {
	return at < len(b.steps) && a.steps[at].entry == b.steps[at].entry && level < len(b.key.styles) &&
		a.key.literals[level] == b.key.literals[level] && a.key.styles[level] == b.key.styles[level]
}
