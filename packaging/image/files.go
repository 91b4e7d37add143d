package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// binary is the file for one platform.
type binary struct {
	platform v1.Platform
	file     string
}

// platforms are the values of -binary.
type platforms []binary

func (p *platforms) String() string { return fmt.Sprint(len(*p)) }

// Set reads OS/ARCH[/VARIANT]=FILE.
func (p *platforms) Set(text string) error {
	name, file, found := strings.Cut(text, "=")
	if !found || file == "" {
		return fmt.Errorf("%q is not OS/ARCH=FILE", text)
	}
	platform, err := v1.ParsePlatform(name)
	if err != nil {
		return err
	}
	if platform.OS == "" || platform.Architecture == "" {
		return fmt.Errorf("%q is not OS/ARCH", name)
	}
	for _, other := range *p {
		if other.platform.String() == platform.String() {
			return fmt.Errorf("%s is given twice", name)
		}
	}
	*p = append(*p, binary{platform: *platform, file: file})
	return nil
}

// sorted brings them into an order that does not depend on the command line.
func (p platforms) sorted() platforms {
	all := append(platforms{}, p...)
	sort.Slice(all, func(a, b int) bool { return all[a].platform.String() < all[b].platform.String() })
	return all
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "arm": elf.EM_ARM}

// check refuses what could not start from scratch on that platform.
func (b binary) check() error {
	file, err := elf.Open(b.file)
	if err != nil {
		return fmt.Errorf("%s is no ELF binary (%w)", b.file, err)
	}
	defer file.Close()
	machine, known := machines[b.platform.Architecture]
	if !known {
		return fmt.Errorf("architecture %q is not one of amd64, arm64, arm", b.platform.Architecture)
	}
	if file.Machine != machine {
		return fmt.Errorf("%s is for %s", b.file, file.Machine)
	}
	for _, program := range file.Progs {
		if program.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is not static: it asks for an interpreter, and scratch has none", b.file)
		}
	}
	return nil
}

// layer has the binary at the root, under the image's name, owned by root and not writable.
func (i *image) layer(file string) (v1.Layer, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var tape bytes.Buffer
	writer := tar.NewWriter(&tape)
	if err := addFile(writer, i.name, 0o755, i.created, content); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(tape.Bytes())), nil }
	return tarball.LayerFromOpener(
		open,
		tarball.WithCompressionLevel(gzip.BestCompression),
		tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressedCaching,
	)
}

// writeTar packs a directory: sorted, with fixed owners, modes and times.
func writeTar(directory, out string) error {
	var names []string
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	sort.Strings(names)
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	defer file.Close()
	writer := tar.NewWriter(file)
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(directory, name)
		if err != nil {
			return err
		}
		if err := addFile(writer, filepath.ToSlash(relative), 0o644, time.Unix(0, 0), content); err != nil {
			return err
		}
	}
	if err := writer.Close(); err != nil {
		return err
	}
	return file.Close()
}

func addFile(writer *tar.Writer, name string, mode int64, modified time.Time, content []byte) error {
	header := &tar.Header{
		Typeflag: tar.TypeReg,
		Name:     name,
		Size:     int64(len(content)),
		Mode:     mode,
		ModTime:  modified,
		Format:   tar.FormatUSTAR,
	}
	if err := writer.WriteHeader(header); err != nil {
		return err
	}
	_, err := writer.Write(content)
	return err
}

func sortedKeys[V any](of map[string]V) []string {
	keys := make([]string, 0, len(of))
	for key := range of {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
