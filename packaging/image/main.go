// Command image makes what is shipped beside the binaries: container images, as OCI archives and without a container
// engine, and bills of materials. `make images` and `make sbom` call it; the same input gives the same bytes.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

const usage = `usage:
  image build -name NAME -version VERSION -out FILE.tar -binary OS/ARCH[/VARIANT]=FILE... [-registry HOST/PATH]
              [-description TEXT] [-revision COMMIT] [-source URL]
  image sbom -package NAME -target TRIPLE -binary FILE -out FILE.cdx.json

SOURCE_DATE_EPOCH (seconds since 1970) is the time that both carry; 0 if it is not set.
`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "image: %s\n", strings.Join(strings.Fields(err.Error()), " "))
		os.Exit(1)
	}
}

func run(args []string) error {
	created, err := sourceDate(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return errors.New("say what to make: build or sbom (image help explains)")
	}
	switch args[0] {
	case "build":
		return build(args[1:], created)
	case "sbom":
		return sbom(args[1:], created)
	case "help", "-h", "--help":
		fmt.Print(usage)
		return nil
	default:
		return fmt.Errorf("there is no %q: build or sbom (image help explains)", args[0])
	}
}

// sourceDate is the time that everything carries, so that none of it depends on when it was made.
func sourceDate(text string) (time.Time, error) {
	if text == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q is no number of seconds since 1970", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// flags makes a set whose complaints are returned, not printed.
func flags(name string) *flag.FlagSet {
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	set.SetOutput(discard{})
	return set
}

type discard struct{}

func (discard) Write(bytes []byte) (int, error) { return len(bytes), nil }

// needed says which of these flags were left out.
func needed(values map[string]string) error {
	for _, name := range sortedKeys(values) {
		if values[name] == "" {
			return fmt.Errorf("-%s is needed (image help explains)", name)
		}
	}
	return nil
}
