package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"

	"github.com/vmexecutor/config-server/store"
)

// pages reads a file of bbolt's format 2 without trusting a byte of it. bbolt itself follows whatever a page says, and ends the
// process with a panic or a fault when that is wrong; so a file is read here first, with plain reads, and every number in it is
// held against what it must be.
type pages struct {
	file io.ReaderAt
	size int64  // of a page
	end  uint64 // no page is in use from here on
	seen []bool // pages that were met
	root uint64
}

// The layout of bbolt's file. All numbers have the machine's order of bytes.
const (
	pageHead    = 16 // id uint64, flags uint16, count uint16, overflow uint32
	elementHead = 16 // of a branch: pos, size of key uint32, page uint64; of a leaf: flags, pos, size of key, size of value uint32
	bucketHead  = 16 // root uint64, sequence uint64
	metaSum     = 56 // where in the header of a file its checksum is, and how much that is of
	magic       = 0xED0CDAED
	version     = 2
	branchPage  = 1
	leafPage    = 2
	bucketFlag  = 1
	noFreelist  = ^uint64(0)
	maxPageSize = 64 << 10
	minPageSize = 1 << 10
	maxDepth    = 64
)

var order = binary.NativeEndian

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", store.ErrDamaged, fmt.Sprintf(format, args...))
}

// readPages reads the headers of a file. Both must be good: they are written in turn, each within one sector, so that only damage
// makes one bad, and the other one may lack the last commit.
func readPages(file io.ReaderAt, size int64) (*pages, error) {
	first, err := readMeta(file, 0)
	if err != nil {
		return nil, err
	}
	second, err := readMeta(file, int64(first.pageSize))
	if err != nil {
		return nil, err
	}
	if first.pageSize != second.pageSize {
		return nil, damaged("its two headers differ in the size of a page")
	}
	m := first
	if second.txid > first.txid {
		m = second
	}
	if m.end < 4 || m.end > uint64(size)/uint64(m.pageSize) { //nolint:gosec // no file has less than nothing
		return nil, damaged("it is cut off: it has %d bytes, and needs %d pages of %d", size, m.end, m.pageSize)
	}
	return &pages{file: file, size: int64(m.pageSize), end: m.end, seen: make([]bool, m.end), root: m.root}, nil
}

type fileMeta struct {
	pageSize        uint32
	root, end, txid uint64
}

func readMeta(file io.ReaderAt, at int64) (fileMeta, error) {
	var b [pageHead + metaSum + 8]byte
	if _, err := file.ReadAt(b[:], at); errors.Is(err, io.EOF) {
		return fileMeta{}, damaged("it is cut off within its headers")
	} else if err != nil {
		return fileMeta{}, err
	}
	m := b[pageHead:]
	digest := fnv.New64a()
	digest.Write(m[:metaSum])
	pageSize := order.Uint32(m[8:])
	switch {
	case order.Uint32(m) != magic:
		return fileMeta{}, damaged("a header of it is none: the file may be another program's")
	case order.Uint64(m[metaSum:]) != digest.Sum64():
		return fileMeta{}, damaged("a header of it has a wrong checksum")
	case order.Uint32(m[4:]) != version:
		return fileMeta{}, damaged("it has version %d of bbolt's format", order.Uint32(m[4:]))
	case pageSize < minPageSize || pageSize > maxPageSize || pageSize&(pageSize-1) != 0:
		return fileMeta{}, damaged("its pages have %d bytes", pageSize)
	}
	return fileMeta{pageSize: pageSize, root: order.Uint64(m[16:]), end: order.Uint64(m[40:]), txid: order.Uint64(m[48:])}, nil
}

// page is one with all that belongs to it.
type page struct {
	id    uint64
	flags uint16
	count int
	data  []byte // from its header on
}

// read reads a page that was not met before.
func (p *pages) read(id uint64) (page, error) {
	if id < 2 || id >= p.end {
		return page{}, damaged("it refers to page %d of %d", id, p.end)
	}
	data := make([]byte, p.size)
	if err := p.readAt(data, id); err != nil {
		return page{}, err
	}
	if found := order.Uint64(data); found != id {
		return page{}, damaged("page %d says that it is page %d", id, found)
	}
	more := uint64(order.Uint32(data[12:]))
	if more >= p.end-id {
		return page{}, damaged("page %d goes beyond the end", id)
	}
	for i := id; i <= id+more; i++ {
		if p.seen[i] {
			return page{}, damaged("page %d is used twice", i)
		}
		p.seen[i] = true
	}
	if more > 0 {
		data = append(data, make([]byte, int64(more)*p.size)...) //nolint:gosec // it is below p.end
		if err := p.readAt(data[p.size:], id+1); err != nil {
			return page{}, err
		}
	}
	return parse(id, data)
}

func (p *pages) readAt(data []byte, id uint64) error {
	_, err := p.file.ReadAt(data, int64(id)*p.size) //nolint:gosec // it is below p.end
	if errors.Is(err, io.EOF) {
		return damaged("it is cut off at page %d", id)
	}
	return err
}

// parse looks at the header of a page.
func parse(id uint64, data []byte) (page, error) {
	if len(data) < pageHead {
		return page{}, damaged("page %d is too short", id)
	}
	g := page{id: id, flags: order.Uint16(data[8:]), count: int(order.Uint16(data[10:])), data: data}
	if g.flags != branchPage && g.flags != leafPage {
		return page{}, damaged("page %d is of no kind that can be here", id)
	}
	if g.flags == branchPage && g.count == 0 || pageHead+g.count*elementHead > len(data) {
		return page{}, damaged("page %d cannot have %d elements", id, g.count)
	}
	return g, nil
}

// span is a part of a page, which an element places relative to itself.
func (g page) span(element int, pos, length int64) ([]byte, error) {
	from := int64(element) + pos
	if from < int64(pageHead+g.count*elementHead) || from+length > int64(len(g.data)) {
		return nil, damaged("an element of page %d is not within it", g.id)
	}
	return g.data[from : from+length : from+length], nil
}

// element is one of a leaf.
type element struct {
	bucket     bool
	key, value []byte
}

// walk gives the elements of a tree in order, whose keys are from least on and below limit; nil is no bound.
func (p *pages) walk(id uint64, least, limit []byte, depth int, visit func(element) error) error {
	if depth > maxDepth {
		return damaged("its tree is too deep")
	}
	g, err := p.read(id)
	if err != nil {
		return err
	}
	if g.flags == leafPage {
		return g.leaf(least, limit, visit)
	}
	type child struct {
		key []byte
		id  uint64
	}
	children := make([]child, g.count)
	for i := range children {
		at := pageHead + i*elementHead
		key, err := g.span(at, int64(order.Uint32(g.data[at:])), int64(order.Uint32(g.data[at+4:])))
		if err != nil {
			return err
		}
		if err := inOrder(g.id, key, least, limit, i > 0); err != nil {
			return err
		}
		least, children[i] = key, child{key, order.Uint64(g.data[at+8:])}
	}
	for i, c := range children {
		below := limit
		if i+1 < len(children) {
			below = children[i+1].key
		}
		if err := p.walk(c.id, c.key, below, depth+1, visit); err != nil {
			return err
		}
	}
	return nil
}

// leaf gives the elements of a leaf.
func (g page) leaf(least, limit []byte, visit func(element) error) error {
	for i := range g.count {
		at := pageHead + i*elementHead
		flags, pos := order.Uint32(g.data[at:]), int64(order.Uint32(g.data[at+4:]))
		keySize, valueSize := int64(order.Uint32(g.data[at+8:])), int64(order.Uint32(g.data[at+12:]))
		both, err := g.span(at, pos, keySize+valueSize)
		if err != nil {
			return err
		}
		e := element{bucket: flags&bucketFlag != 0, key: both[:keySize:keySize], value: both[keySize:]}
		if err := inOrder(g.id, e.key, least, limit, i > 0); err != nil {
			return err
		}
		if err := visit(e); err != nil {
			return err
		}
		least = e.key
	}
	return nil
}

// inOrder holds a key between the one before it, or the least that can be here, and a limit.
func inOrder(id uint64, key, least, limit []byte, after bool) error {
	c := bytes.Compare(key, least)
	if len(key) == 0 || c < 0 || after && c == 0 || limit != nil && bytes.Compare(key, limit) >= 0 {
		return damaged("the keys of page %d are not in order", id)
	}
	return nil
}

// bucket gives the elements of a bucket. One that is small is within the element that stands for it.
func (p *pages) bucket(stored []byte, visit func(element) error) error {
	if len(stored) < bucketHead {
		return damaged("a bucket has no header")
	}
	if root := order.Uint64(stored); root != 0 {
		return p.walk(root, nil, nil, 0, visit)
	}
	g, err := parse(0, stored[bucketHead:])
	if err != nil {
		return err
	}
	if g.flags != leafPage {
		return damaged("a small bucket is no leaf")
	}
	return g.leaf(nil, nil, visit)
}
