// Package house holds the tests of the house rules: what every package of the repository must
// keep to. Nothing imports it.
package house

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/vmexecutor/config-server"

type pkg struct {
	ImportPath string
	Dir        string
	Imports    []string
	Deps       []string
	Standard   bool
	GoFiles    []string
}

func (p pkg) rel() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

func (p pkg) generated() bool {
	top, _, _ := strings.Cut(p.rel(), "/")
	return top == "models" || top == "restapi" || top == "client"
}

// packages asks the go command for the module's packages.
func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,Imports,Deps,Standard,GoFiles", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found %d packages only", len(all))
	}
	return all
}

// under reports whether a package is dir or below it.
func under(rel, dir string) bool { return rel == dir || strings.HasPrefix(rel, dir+"/") }

// TestImportDirections holds the directions of the layout: each rule says who alone may import a thing.
func TestImportDirections(t *testing.T) {
	only := []struct {
		imported string   // an import path or what it begins with
		by       []string // directories of this module
	}{
		{"github.com/vmware/govmomi", []string{"vm/vsphere"}},
		{"go.etcd.io/bbolt", []string{"store/bolt"}},
		{"go.etcd.io/etcd", []string{"store/etcd"}},
		{"github.com/prometheus/client_golang", []string{"metrics"}},
		{module + "/metrics", []string{"app", "handlers"}},
		{module + "/models", []string{"handlers", "models", "restapi", "client", "apiclient", "cmd"}},
		{module + "/restapi", []string{"handlers", "restapi"}},
		{module + "/client", []string{"client", "apiclient", "cmd"}},
		{module + "/auth", []string{"app", "auth", "handlers", "cmd/config-server"}},
		{module + "/handlers", []string{"app"}},
		{module + "/app", []string{"cmd"}},
		{module + "/push", []string{"app", "handlers", "vm/vmtest"}},
		{module + "/vm", []string{"app", "push", "handlers", "vm", "cmd/demo", "cmd/simctl"}},
		{module + "/store", []string{"app", "push", "handlers", "store", "audit", "vm/vmtest"}},
		{module + "/audit", []string{"app", "push", "handlers"}},
		{"github.com/DeRuina/timberjack", []string{"audit"}},
		{module + "/guest", []string{"vm/qemu", "app", "cmd"}},
		{"github.com/mdlayher/vsock", []string{"guest", "vm/qemu"}},
	}
	for _, p := range packages(t) {
		for _, imported := range p.Imports {
			for _, rule := range only {
				if !under(imported, rule.imported) {
					continue
				}
				if !slices.ContainsFunc(rule.by, func(dir string) bool { return under(p.rel(), dir) }) {
					t.Errorf("%s imports %s, which only %q may", p.rel(), imported, rule.by)
				}
			}
		}
	}
}

// TestPureImports: the domain and the codec depend on the standard library, the codec on x/crypto for secrets too.
func TestPureImports(t *testing.T) {
	for _, p := range packages(t) {
		if p.rel() != "executor" && p.rel() != "extraconfig" {
			continue
		}
		for _, imported := range p.Imports {
			first, _, _ := strings.Cut(imported, "/")
			if strings.Contains(first, ".") && !(p.rel() == "extraconfig" && under(imported, "golang.org/x/crypto")) {
				t.Errorf("%s imports %s", p.rel(), imported)
			}
		}
	}
}

// TestDocumented: every hand-written package says why it exists, and every exported name is explained.
func TestDocumented(t *testing.T) {
	for _, p := range packages(t) {
		if p.generated() || len(p.GoFiles) == 0 {
			continue
		}
		var hasPackageDoc bool
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			hasPackageDoc = hasPackageDoc || len(strings.TrimSpace(file.Doc.Text())) > 60
			for _, d := range file.Decls {
				for _, undocumented := range undocumentedNames(d) {
					t.Errorf("%s/%s: %s has no doc comment", p.rel(), name, undocumented)
				}
			}
		}
		if !hasPackageDoc {
			t.Errorf("%s has no package comment that says why it exists", p.rel())
		}
	}
}

// undocumentedNames are the exported functions, methods of exported types, and types that a declaration leaves without a comment.
func undocumentedNames(d ast.Decl) []string {
	var names []string
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) && !wellKnown[d.Name.Name] {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.IsExported() && d.Doc == nil && ts.Doc == nil {
				names = append(names, ts.Name.Name)
			}
		}
	}
	return names
}

// wellKnown methods mean what their interface in the standard library says.
var wellKnown = map[string]bool{"Error": true, "Unwrap": true, "Is": true, "String": true, "ServeHTTP": true}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

// TestFileSizes: a file that nobody can keep in mind is cut in two.
func TestFileSizes(t *testing.T) {
	for _, p := range packages(t) {
		if p.generated() {
			continue
		}
		err := filepath.WalkDir(p.Dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || filepath.Dir(path) != p.Dir {
				return err
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, path, nil, 0)
			if err != nil {
				return err
			}
			if lines := fset.File(file.Pos()).LineCount(); lines > 600 {
				t.Errorf("%s has %d lines", path, lines)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}
