package main

import (
	"bytes"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

const tree = `0headroom-scheduler v0.1.0 (/src/scheduler)
1anyhow v1.0.104
1headroom-core v0.1.0 (/src/common/core)
2hashbrown v0.17.1
3foldhash v0.2.0
1hashbrown v0.17.1 (*)
1hashbrown v0.16.1
`

const lock = `[[package]]
name = "anyhow"
version = "1.0.104"
source = "registry"
checksum = "aa11"

[[package]]
name = "headroom-core"
version = "0.1.0"
dependencies = [
 "hashbrown 0.17.1",
]
`

func facts() []pkgFact {
	registry := "registry"
	return []pkgFact{
		{Name: "headroom-scheduler", Version: "0.1.0", License: "Apache-2.0"},
		{Name: "headroom-core", Version: "0.1.0", License: "Apache-2.0"},
		{Name: "anyhow", Version: "1.0.104", Source: &registry, License: "MIT/Apache-2.0", Description: "a\n  b"},
		{Name: "hashbrown", Version: "0.17.1", Source: &registry},
		{Name: "hashbrown", Version: "0.16.1", Source: &registry},
		{Name: "foldhash", Version: "0.2.0", Source: &registry, License: "Zlib"},
		{Name: "proptest", Version: "1.0.0", Source: &registry},
	}
}

func TestBillOfMaterials(t *testing.T) {
	parsed, err := parseTree([]byte(tree))
	if err != nil {
		t.Fatal(err)
	}
	bom, err := bill(parsed, facts(), checksums([]byte(lock)), "rustc 1.95.0 (59807616e 2026-04-14)")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, component := range *bom.Components {
		names = append(names, component.BOMRef)
	}
	want := "anyhow@1.0.104 foldhash@0.2.0 hashbrown@0.16.1 hashbrown@0.17.1 headroom-core@0.1.0 rust-std@1.95.0"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("components %s", got)
	}
	anyhow := (*bom.Components)[0]
	if anyhow.PackageURL != "pkg:cargo/anyhow@1.0.104" || (*anyhow.Hashes)[0].Value != "aa11" || anyhow.Description != "a b" {
		t.Errorf("%+v", anyhow)
	}
	if got := (*anyhow.Licenses)[0].Expression; got != "MIT OR Apache-2.0" {
		t.Errorf("license %s", got)
	}
	// What is published nowhere has no address.
	if core := (*bom.Components)[4]; core.PackageURL != "" || core.Hashes != nil {
		t.Errorf("%+v", core)
	}
	if root := bom.Metadata.Component; root.Name != "headroom-scheduler" || root.Type != cdx.ComponentTypeApplication {
		t.Errorf("%+v", root)
	}
	edges := map[string]string{}
	for _, dependency := range *bom.Dependencies {
		if dependency.Dependencies != nil {
			edges[dependency.Ref] = strings.Join(*dependency.Dependencies, " ")
		}
	}
	if got := edges["headroom-scheduler@0.1.0"]; got != "anyhow@1.0.104 hashbrown@0.16.1 hashbrown@0.17.1 headroom-core@0.1.0 rust-std@1.95.0" {
		t.Errorf("the root needs %s", got)
	}
	if got := edges["hashbrown@0.17.1"]; got != "foldhash@0.2.0" {
		t.Errorf("hashbrown needs %s", got)
	}
	var text bytes.Buffer
	if err := cdx.NewBOMEncoder(&text, cdx.BOMFileFormatJSON).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), `"specVersion":"1.6"`) {
		t.Error(text.String())
	}
}

func TestTreesThatAreNotUnderstood(t *testing.T) {
	for text, want := range map[string]string{
		"":                     "said nothing",
		"error: no such thing": "is not understood",
		"0a v1.0.0\n2b v1.0.0": "has no parent",
	} {
		if _, err := parseTree([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	parsed, err := parseTree([]byte("0unknown v1.0.0\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bill(parsed, nil, nil, "rustc 1"); err == nil {
		t.Error("a crate that cargo metadata does not know")
	}
}
