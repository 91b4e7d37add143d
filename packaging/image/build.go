package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Who runs: a number, since scratch has no /etc/passwd and the kubelet checks runAsNonRoot by number.
const user = "65532:65532"

// What containerd calls the image after an import (its AnnotationImageName).
const containerdName = "io.containerd.image.name"

// The registry of names that have none, as containerd and the kubelet complete them.
const completed = "docker.io/library"

// image is what all platforms have in common.
type image struct {
	name, version, registry       string
	description, revision, source string
	created                       time.Time
}

func build(args []string, created time.Time) error {
	what := image{created: created}
	var out string
	var binaries platforms
	set := flags("build")
	set.StringVar(&what.name, "name", "", "")
	set.StringVar(&what.version, "version", "", "")
	set.StringVar(&what.registry, "registry", completed, "")
	set.StringVar(&what.description, "description", "", "")
	set.StringVar(&what.revision, "revision", "", "")
	set.StringVar(&what.source, "source", "", "")
	set.StringVar(&out, "out", "", "")
	set.Var(&binaries, "binary", "")
	if err := set.Parse(args); err != nil {
		return err
	}
	if err := needed(map[string]string{"name": what.name, "version": what.version, "out": out}); err != nil {
		return err
	}
	if what.registry == "" {
		what.registry = completed
	}
	if len(binaries) == 0 {
		return errors.New("-binary OS/ARCH=FILE is needed, once for each platform")
	}
	index, err := what.index(binaries)
	if err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	if err := what.archive(index, out); err != nil {
		return err
	}
	fmt.Printf("%s  %s\n", digest, what.reference())
	return nil
}

func (i *image) reference() string {
	return fmt.Sprintf("%s/%s:%s", i.registry, i.name, i.version)
}

// labels are the image's, and the annotations of its manifests.
func (i *image) labels() map[string]string {
	labels := map[string]string{
		"org.opencontainers.image.title":    i.name,
		"org.opencontainers.image.version":  i.version,
		"org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.created":  i.created.Format(time.RFC3339),
	}
	for key, value := range map[string]string{
		"description": i.description, "revision": i.revision, "source": i.source,
	} {
		if value != "" {
			labels["org.opencontainers.image."+key] = value
		}
	}
	return labels
}

// index is the image for all platforms.
func (i *image) index(binaries platforms) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, binary := range binaries.sorted() {
		platform := binary.platform
		one, err := i.one(binary)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", platform.String(), err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        one,
			Descriptor: v1.Descriptor{Platform: &platform},
		})
	}
	annotated, ok := mutate.Annotations(index, i.labels()).(v1.ImageIndex)
	if !ok {
		return nil, errors.New("an annotated index is an index")
	}
	return annotated, nil
}

// one is the image for one platform: a layer with the binary, and nothing else.
func (i *image) one(binary binary) (v1.Image, error) {
	if err := binary.check(); err != nil {
		return nil, err
	}
	layer, err := i.layer(binary.file)
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(base, mutate.Addendum{
		Layer:     layer,
		MediaType: types.OCILayer,
		History:   v1.History{Created: v1.Time{Time: i.created}, CreatedBy: "COPY " + i.name + " /" + i.name},
	})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS = binary.platform.OS
	config.Architecture = binary.platform.Architecture
	config.Variant = binary.platform.Variant
	config.Created = v1.Time{Time: i.created}
	config.Config = v1.Config{
		User:       user,
		Entrypoint: []string{"/" + i.name},
		WorkingDir: "/",
		Labels:     i.labels(),
	}
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		return nil, err
	}
	annotated, ok := mutate.Annotations(image, i.labels()).(v1.Image)
	if !ok {
		return nil, errors.New("an annotated image is an image")
	}
	return annotated, nil
}

// archive writes an OCI layout with this one image as a tar file.
func (i *image) archive(index v1.ImageIndex, out string) error {
	scratch, err := os.MkdirTemp(filepath.Dir(out), ".layout-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	path, err := layout.Write(scratch, mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	if err != nil {
		return err
	}
	err = path.AppendIndex(index, layout.WithAnnotations(map[string]string{
		containerdName:                      i.reference(),
		"org.opencontainers.image.ref.name": i.version,
	}))
	if err != nil {
		return err
	}
	return writeTar(scratch, out)
}
