package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// sbom lists the crates of which a binary is made: those that cargo resolves for that package on that target, without
// build scripts, macros and tests, none of which end up in it.
func sbom(args []string, created time.Time) error {
	var name, target, file, out string
	set := flags("sbom")
	set.StringVar(&name, "package", "", "")
	set.StringVar(&target, "target", "", "")
	set.StringVar(&file, "binary", "", "")
	set.StringVar(&out, "out", "", "")
	if err := set.Parse(args); err != nil {
		return err
	}
	if err := needed(map[string]string{"package": name, "target": target, "binary": file, "out": out}); err != nil {
		return err
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	text, err := cargo("tree", "--locked", "--package", name, "--target", target,
		"--edges", "normal,no-proc-macro", "--prefix", "depth", "--charset", "ascii")
	if err != nil {
		return err
	}
	tree, err := parseTree(text)
	if err != nil {
		return err
	}
	text, err = cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", target)
	if err != nil {
		return err
	}
	var facts metadata
	if err := json.Unmarshal(text, &facts); err != nil {
		return fmt.Errorf("cargo metadata: %w", err)
	}
	lock, err := os.ReadFile(filepath.Join(facts.WorkspaceRoot, "Cargo.lock"))
	if err != nil {
		return err
	}
	rustc, err := output("rustc", "--version")
	if err != nil {
		return err
	}
	bom, err := bill(tree, facts.Packages, checksums(lock), strings.TrimSpace(string(rustc)))
	if err != nil {
		return err
	}
	bom.Metadata.Timestamp = created.Format(time.RFC3339)
	bom.Metadata.Component.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}}
	bom.Metadata.Component.Properties = &[]cdx.Property{{Name: "cargo:target", Value: target}}
	var encoded bytes.Buffer
	if err := cdx.NewBOMEncoder(&encoded, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return err
	}
	return os.WriteFile(out, encoded.Bytes(), 0o644)
}

// crate is a name and a version, which in one binary mean one package.
type crate struct{ name, version string }

func (c crate) ref() string { return c.name + "@" + c.version }

// metadata is what is used of `cargo metadata`.
type metadata struct {
	WorkspaceRoot string    `json:"workspace_root"`
	Packages      []pkgFact `json:"packages"`
}

type pkgFact struct {
	Name        string  `json:"name"`
	Version     string  `json:"version"`
	Source      *string `json:"source"`
	License     string  `json:"license"`
	Description string  `json:"description"`
	Repository  string  `json:"repository"`
}

// dependencyTree is who needs whom; root is the binary's package.
type dependencyTree struct {
	root  crate
	needs map[crate][]crate
}

var treeLine = regexp.MustCompile(`^(\d+)(\S+) v(\S+)`)

// parseTree reads `cargo tree --prefix depth`: a depth, right before a name, and a version. What was shown before comes
// again without its own dependencies.
func parseTree(text []byte) (*dependencyTree, error) {
	tree := &dependencyTree{needs: map[crate][]crate{}}
	var path []crate
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if strings.TrimSpace(line) == "" {
			continue
		}
		parts := treeLine.FindStringSubmatch(line)
		if parts == nil {
			return nil, fmt.Errorf("cargo tree: %q is not understood", line)
		}
		depth, err := strconv.Atoi(parts[1])
		if err != nil || depth > len(path) {
			return nil, fmt.Errorf("cargo tree: %q has no parent", line)
		}
		one := crate{parts[2], parts[3]}
		path = append(path[:depth], one)
		if _, known := tree.needs[one]; !known {
			tree.needs[one] = nil
		}
		if depth == 0 {
			tree.root = one
			continue
		}
		parent := path[depth-1]
		tree.needs[parent] = append(tree.needs[parent], one)
	}
	if tree.root.name == "" {
		return nil, errors.New("cargo tree said nothing")
	}
	return tree, lines.Err()
}

var lockLine = regexp.MustCompile(`^(name|version|checksum) = "(.*)"$`)

// checksums are those of Cargo.lock, of the packages as the registry has them.
func checksums(lock []byte) map[crate]string {
	sums := map[crate]string{}
	var one crate
	for line := range strings.Lines(string(lock)) {
		parts := lockLine.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if parts == nil {
			continue
		}
		switch parts[1] {
		case "name":
			one = crate{name: parts[2]}
		case "version":
			one.version = parts[2]
		case "checksum":
			sums[one] = parts[2]
		}
	}
	return sums
}

// bill is the bill of materials: every crate once, in order of names.
func bill(tree *dependencyTree, facts []pkgFact, sums map[crate]string, rustc string) (*cdx.BOM, error) {
	known := map[crate]pkgFact{}
	for _, fact := range facts {
		known[crate{fact.Name, fact.Version}] = fact
	}
	crates := make([]crate, 0, len(tree.needs))
	for one := range tree.needs {
		crates = append(crates, one)
	}
	sort.Slice(crates, func(a, b int) bool { return crates[a].ref() < crates[b].ref() })
	std := standardLibrary(rustc)
	components := []cdx.Component{}
	dependencies := []cdx.Dependency{{Ref: std.BOMRef}}
	bom := cdx.NewBOM()
	for _, one := range crates {
		fact, found := known[one]
		if !found {
			return nil, fmt.Errorf("cargo metadata does not know %s", one.ref())
		}
		component := component(one, fact, sums[one])
		if one == tree.root {
			component.Type = cdx.ComponentTypeApplication
			bom.Metadata = &cdx.Metadata{Component: &component}
		} else {
			components = append(components, component)
		}
		needs := refs(tree.needs[one])
		if one == tree.root {
			needs = append(needs, std.BOMRef)
			sort.Strings(needs)
		}
		dependency := cdx.Dependency{Ref: one.ref()}
		if len(needs) > 0 {
			dependency.Dependencies = &needs
		}
		dependencies = append(dependencies, dependency)
	}
	components = append(components, std)
	bom.Components = &components
	bom.Dependencies = &dependencies
	return bom, nil
}

func component(one crate, fact pkgFact, sum string) cdx.Component {
	component := cdx.Component{
		BOMRef:      one.ref(),
		Type:        cdx.ComponentTypeLibrary,
		Name:        one.name,
		Version:     one.version,
		Description: strings.Join(strings.Fields(fact.Description), " "),
	}
	// Of old, "/" stood for OR.
	if license := strings.ReplaceAll(fact.License, "/", " OR "); license != "" {
		component.Licenses = &cdx.Licenses{{Expression: strings.Join(strings.Fields(license), " ")}}
	}
	if fact.Source != nil {
		component.PackageURL = "pkg:cargo/" + one.ref()
	}
	if sum != "" {
		component.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}}
	}
	if fact.Repository != "" {
		component.ExternalReferences = &[]cdx.ExternalReference{{Type: cdx.ERTypeVCS, URL: fact.Repository}}
	}
	return component
}

// standardLibrary is linked into every binary, on musl together with the C library that comes with it. Cargo does not
// list it.
func standardLibrary(rustc string) cdx.Component {
	version := rustc
	if words := strings.Fields(rustc); len(words) > 1 {
		version = words[1]
	}
	return cdx.Component{
		BOMRef:      "rust-std@" + version,
		Type:        cdx.ComponentTypeLibrary,
		Name:        "rust-std",
		Version:     version,
		Description: "Rust's standard library, with the C library that comes with it for musl targets (" + rustc + ")",
		Licenses:    &cdx.Licenses{{Expression: "MIT OR Apache-2.0"}},
		PackageURL:  "pkg:generic/rust-std@" + version,
	}
}

// refs are sorted and each there once.
func refs(crates []crate) []string {
	seen := map[string]bool{}
	for _, one := range crates {
		seen[one.ref()] = true
	}
	return sortedKeys(seen)
}

// cargo runs the cargo of the Makefile.
func cargo(args ...string) ([]byte, error) {
	words := strings.Fields(os.Getenv("CARGO"))
	if len(words) == 0 {
		words = []string{"cargo"}
	}
	return output(words[0], append(words[1:], args...)...)
}

func output(name string, args ...string) ([]byte, error) {
	command := exec.Command(name, args...)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	text, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, args[0], err, strings.TrimSpace(complaint.String()))
	}
	return text, nil
}
