package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

var noon = time.Unix(1_700_000_000, 0).UTC()

// static is a binary for this machine: the test itself, which is built without cgo.
func static(t *testing.T) string {
	t.Helper()
	file, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := (binary{platform: v1.Platform{OS: "linux", Architecture: runtime.GOARCH}, file: file}).check(); err != nil {
		t.Skipf("build the tests with CGO_ENABLED=0: %v", err)
	}
	return file
}

func buildInto(t *testing.T, out string, more ...string) {
	t.Helper()
	args := append([]string{
		"-name", "headroom-scheduler", "-version", "1.2.3", "-revision", "abc", "-out", out,
		"-binary", "linux/" + runtime.GOARCH + "=" + static(t),
	}, more...)
	if err := build(args, noon); err != nil {
		t.Fatal(err)
	}
}

func unpack(t *testing.T, archive string) string {
	t.Helper()
	directory := t.TempDir()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader := tar.NewReader(file)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return directory
		}
		if err != nil {
			t.Fatal(err)
		}
		if !header.ModTime.Equal(time.Unix(0, 0)) || header.Uid != 0 || header.Mode != 0o644 {
			t.Errorf("%s depends on when and by whom it was made: %v", header.Name, header)
		}
		place := filepath.Join(directory, header.Name)
		if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(place, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheSameInputGivesTheSameBytes(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "a.tar"), filepath.Join(t.TempDir(), "b.tar")
	buildInto(t, one)
	buildInto(t, two)
	a, _ := os.ReadFile(one)
	b, _ := os.ReadFile(two)
	if len(a) == 0 || !bytes.Equal(a, b) {
		t.Fatal("two archives differ")
	}
}

func TestWhatIsInTheArchive(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "a.tar")
	buildInto(t, archive)
	path, err := layout.FromPath(unpack(t, archive))
	if err != nil {
		t.Fatal(err)
	}
	top, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := top.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 {
		t.Fatalf("one image: %v", manifest.Manifests)
	}
	if got := manifest.Manifests[0].Annotations[containerdName]; got != "docker.io/library/headroom-scheduler:1.2.3" {
		t.Errorf("containerd would call it %q", got)
	}
	index, err := top.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if got := inner.Manifests[0].Platform.String(); got != "linux/"+runtime.GOARCH {
		t.Errorf("platform %s", got)
	}
	image, err := index.Image(inner.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" || config.Config.Entrypoint[0] != "/headroom-scheduler" {
		t.Errorf("config %+v", config.Config)
	}
	if !config.Created.Equal(noon) || config.Config.Labels["org.opencontainers.image.revision"] != "abc" {
		t.Errorf("created %v, labels %v", config.Created, config.Config.Labels)
	}
	if _, claimed := config.Config.Labels["org.opencontainers.image.source"]; claimed {
		t.Error("a source was claimed that nobody gave")
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("layers %v, %v", layers, err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	header, err := tar.NewReader(content).Next()
	if err != nil || header.Name != "headroom-scheduler" || header.Mode != 0o755 || !header.ModTime.Equal(noon) {
		t.Errorf("%v, %v", header, err)
	}
}

func TestANameOfOnesOwn(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "a.tar")
	buildInto(t, archive, "-registry", "registry.example.com/me")
	index, err := os.ReadFile(filepath.Join(unpack(t, archive), "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var top v1.IndexManifest
	if err := json.Unmarshal(index, &top); err != nil {
		t.Fatal(err)
	}
	if got := top.Manifests[0].Annotations[containerdName]; got != "registry.example.com/me/headroom-scheduler:1.2.3" {
		t.Errorf("containerd would call it %q", got)
	}
}

func TestWhatCouldNotStartIsRefused(t *testing.T) {
	text := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	for given, want := range map[string]string{
		"linux/amd64=" + text:              "is no ELF binary",
		"linux/" + other + "=" + static(t): "is for EM_",
		"linux/riscv64=" + static(t):       "is not one of",
		"linux=" + text:                    "is not OS/ARCH",
		"nothing":                          "is not OS/ARCH=FILE",
	} {
		args := []string{"-name", "a", "-version", "1", "-out", filepath.Join(t.TempDir(), "a.tar"), "-binary", given}
		if err := build(args, noon); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", given, err)
		}
	}
	if err := build([]string{"-version", "1"}, noon); err == nil || !strings.Contains(err.Error(), "-name is needed") {
		t.Errorf("%v", err)
	}
}

func TestSourceDate(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "1700000000": 1_700_000_000} {
		if got, err := sourceDate(text); err != nil || got.Unix() != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if _, err := sourceDate("yesterday"); err == nil {
		t.Error("yesterday is no number")
	}
}
