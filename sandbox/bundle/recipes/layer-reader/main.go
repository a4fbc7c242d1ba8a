// Sends layers from the folders of a Docker Engine, mounted read-only, straight into a registry.
//
// Every argument is a job in JSON. What an image's layers are made of is in image/overlay2 of the engine's folder
// (mounted at /image) and overlay2 (at /overlay2): a layer is put together from the headers in tar-split.json.gz and
// the files of its folder. With containerd, blobs are files (mounted at /blobs), and the job of an image is all that
// its manifests name; the manifests themselves are told. Digests are compared before the registry is told to keep
// anything. Progress and failures are lines of JSON on stdout; a failure of one job does not stop the others.
//
// With a socket instead of a registry (OUT), each blob goes into a connection of its own, after a line with its digest.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	together = 4
	largest  = 8 << 20          // of a manifest
	deepest  = 4                // indexes in indexes
	patience = 30 * time.Second // without a byte
	buffered = 1 << 20
)

var identifier = regexp.MustCompile(`^[0-9a-z][0-9a-z-]*$`)
var hexadecimal = regexp.MustCompile(`^[0-9a-f]{64}$`)

// A job is a blob and the repository that is to get it: a layer by its chain id, without one an image's configuration.
// That of a tree is a manifest or an index in containerd, with all that it names, as far as the repository lacks it.
type job struct {
	Repository string `json:"repository"`
	Digest     string `json:"digest"`
	Chain      string `json:"chain"`
	Tree       bool   `json:"tree"`
	blob       bool
}

// An event is one line of output.
type event struct {
	Digest     string `json:"digest"`
	Repository string `json:"repository,omitempty"`
	Sent       int64  `json:"sent,omitempty"`
	Done       bool   `json:"done,omitempty"`
	Document   []byte `json:"document,omitempty"`
	Error      string `json:"error,omitempty"`
}

var output sync.Mutex

func tell(one event) {
	output.Lock()
	defer output.Unlock()
	line, _ := json.Marshal(one)
	fmt.Println(string(line))
}

func main() {
	registry, out := os.Getenv("REGISTRY"), os.Getenv("OUT")
	deliver := func(one job) error { return send(registry, one) }
	if out != "" {
		deliver = func(one job) error { return pour(out, one) }
	}
	work := make(chan job)
	var all sync.WaitGroup
	for range together {
		all.Go(func() {
			for one := range work {
				if one.blob && has(registry, one) {
					continue
				}
				if err := deliver(one); err != nil {
					tell(event{Digest: one.Digest, Error: err.Error()})
				} else {
					tell(event{Digest: one.Digest, Repository: one.Repository, Done: true})
				}
			}
		})
	}
	begun := map[string]bool{}
	begin := func(one job) {
		if !begun[one.Digest] {
			begun[one.Digest] = true
			work <- one
		}
	}
	for _, text := range os.Args[1:] {
		var one job
		err := json.Unmarshal([]byte(text), &one)
		if err == nil && one.Tree {
			err = expand(one, begin, 0)
		} else if err == nil {
			begin(one)
		}
		if err != nil {
			tell(event{Digest: one.Digest, Error: err.Error()})
		}
	}
	close(work)
	all.Wait()
}

// expand tells the manifests of a tree and begins a job for each of its blobs. Platforms may be absent.
func expand(one job, begin func(job), deep int) error {
	if deep > deepest {
		return errors.New("indexes are nested too deep")
	}
	file, err := blob(one.Digest)
	if err != nil {
		return err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, largest))
	if err != nil {
		return err
	}
	var content struct {
		Manifests []struct{ Digest string }
		Config    struct{ Digest string }
		Layers    []struct{ Digest string }
	}
	if err := json.Unmarshal(data, &content); err != nil {
		return err
	}
	tell(event{Digest: one.Digest, Document: data})
	for _, child := range content.Manifests {
		err := expand(job{Repository: one.Repository, Digest: child.Digest}, begin, deep+1)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if content.Config.Digest != "" {
		for _, part := range append(content.Layers, content.Config) {
			begin(job{Repository: one.Repository, Digest: part.Digest, blob: true})
		}
	}
	return nil
}

// has tells whether the repository has a blob.
func has(registry string, one job) bool {
	_, err := ask("HEAD", registry+"/v2/"+one.Repository+"/blobs/"+one.Digest, nil, 200)
	return err == nil
}

// blob opens the file of a blob in containerd.
func blob(digest string) (*os.File, error) {
	name, found := strings.CutPrefix(digest, "sha256:")
	if !found || !hexadecimal.MatchString(name) {
		return nil, errors.New("not a digest")
	}
	file, err := os.OpenFile("/blobs/sha256/"+name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if found, err := file.Stat(); err != nil || !found.Mode().IsRegular() {
		file.Close()
		return nil, errors.New("a blob is no regular file")
	}
	return file, nil
}

// send has the registry hold one blob, or nothing of it.
func send(registry string, one job) error {
	answer, err := ask("POST", registry+"/v2/"+one.Repository+"/blobs/uploads/", nil, 202)
	if err != nil {
		return err
	}
	place, err := location(registry, answer)
	if err != nil {
		return err
	}
	reader, writer := io.Pipe()
	summed := sha256.New()
	go func() {
		out := bufio.NewWriterSize(io.MultiWriter(&counted{Writer: writer, digest: one.Digest}, summed), buffered)
		err := write(out, one)
		if err == nil {
			err = out.Flush()
		}
		writer.CloseWithError(err)
	}()
	answer, err = ask("PATCH", place, reader, 202)
	if err == nil {
		place, err = location(registry, answer)
	}
	if found := "sha256:" + hex.EncodeToString(summed.Sum(nil)); err == nil && found != one.Digest {
		err = fmt.Errorf("the engine's bytes are %s", found)
	}
	if err != nil {
		reader.CloseWithError(err)
		_, _ = ask("DELETE", place, nil, 204)
		return err
	}
	separator := "?"
	if strings.Contains(place, "?") {
		separator = "&"
	}
	_, err = ask("PUT", place+separator+"digest="+url.QueryEscape(one.Digest), nil, 201)
	return err
}

// pour writes one blob into the socket at out, which is closed early when something fails.
func pour(out string, one job) error {
	connection, err := net.Dial("unix", out)
	if err != nil {
		return err
	}
	defer connection.Close()
	writer := bufio.NewWriterSize(&counted{Writer: connection, digest: one.Digest}, buffered)
	if _, err := fmt.Fprintln(writer, one.Digest); err != nil {
		return err
	}
	if err := write(writer, one); err != nil {
		return err
	}
	return writer.Flush()
}

// ask sends a request to the registry and nowhere else, and returns its answer when it has the wanted status.
func ask(method, place string, body io.Reader, wanted int) (*http.Response, error) {
	request, err := http.NewRequest(method, place, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/octet-stream")
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
	if answer.StatusCode != wanted {
		return nil, fmt.Errorf("the registry answers %d: %s", answer.StatusCode, said)
	}
	return answer, nil
}

var client = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport: &http.Transport{
		MaxIdleConnsPerHost:   together,
		WriteBufferSize:       buffered,
		ResponseHeaderTimeout: 10 * patience,
		IdleConnTimeout:       patience,
	},
}

// location is where an upload goes on: on the registry itself, whatever host it calls itself by.
func location(registry string, answer *http.Response) (string, error) {
	found, err := url.Parse(answer.Header.Get("Location"))
	if err != nil || found.Path == "" {
		return "", errors.New("the registry does not say where an upload goes on")
	}
	place, err := url.Parse(registry)
	if err != nil {
		return "", err
	}
	place.Path, place.RawQuery = found.Path, found.RawQuery
	return place.String(), nil
}

// A counted writer tells of every few megabytes.
type counted struct {
	io.Writer
	digest string
	size   int64
}

func (one *counted) Write(data []byte) (int, error) {
	count, err := one.Writer.Write(data)
	one.size += int64(count)
	if one.size >= 8*buffered {
		tell(event{Digest: one.digest, Sent: one.size})
		one.size = 0
	}
	return count, err
}

// write gives the bytes of a blob.
func write(out io.Writer, one job) error {
	if one.blob {
		file, err := blob(one.Digest)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(out, file)
		return err
	}
	if one.Chain == "" {
		digest, found := strings.CutPrefix(one.Digest, "sha256:")
		if !found || !hexadecimal.MatchString(digest) {
			return errors.New("not a digest")
		}
		data, err := os.ReadFile("/image/imagedb/content/sha256/" + digest)
		if err != nil {
			return err
		}
		_, err = out.Write(data)
		return err
	}
	chain, found := strings.CutPrefix(one.Chain, "sha256:")
	if !found || !hexadecimal.MatchString(chain) {
		return errors.New("not a chain id")
	}
	notes := "/image/layerdb/sha256/" + chain
	cache, err := os.ReadFile(notes + "/cache-id")
	if err != nil {
		return err
	}
	if !identifier.Match(bytes.TrimSpace(cache)) {
		return errors.New("the engine's notes of a layer are not understood")
	}
	files, err := os.OpenRoot("/overlay2/" + string(bytes.TrimSpace(cache)) + "/diff")
	if err != nil {
		return err
	}
	defer files.Close()
	split, err := os.Open(notes + "/tar-split.json.gz")
	if err != nil {
		return err
	}
	defer split.Close()
	return rebuild(out, split, files)
}

// An entry of tar-split (vbatts/tar-split, tar/storage): bytes as they are, or the content of a file.
type entry struct {
	Type    int    `json:"type"`
	Name    string `json:"name"`
	NameRaw string `json:"name_raw"`
	Size    int64  `json:"size"`
	Payload []byte `json:"payload"`
}

// rebuild writes the tar that split describes, with the contents of files.
func rebuild(out io.Writer, split io.Reader, files *os.Root) error {
	unpacked, err := gzip.NewReader(split)
	if err != nil {
		return err
	}
	entries := json.NewDecoder(bufio.NewReaderSize(unpacked, buffered))
	for {
		var one entry
		if err := entries.Decode(&one); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		switch {
		case one.Type == 2:
			_, err = out.Write(one.Payload)
		case one.Type == 1 && one.Size > 0:
			err = content(out, files, one)
		case one.Type != 1 || one.Size < 0:
			err = errors.New("tar-split has an entry that is not understood")
		}
		if err != nil {
			return err
		}
	}
}

// content writes a regular file that no link stands for, as many bytes of it as the tar had.
func content(out io.Writer, files *os.Root, one entry) error {
	name := one.Name
	if one.NameRaw != "" {
		raw, err := base64.StdEncoding.DecodeString(one.NameRaw)
		if err != nil {
			return err
		}
		name = string(raw)
	}
	name = strings.TrimLeft(name, "/")
	file, err := files.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if found, err := file.Stat(); err != nil || !found.Mode().IsRegular() {
		return fmt.Errorf("%q is no regular file", name)
	}
	_, err = io.CopyN(out, file, one.Size)
	return err
}
