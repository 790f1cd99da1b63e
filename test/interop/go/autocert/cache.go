package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/Azure/azure-storage-blob-go/azblob"
	"golang.org/x/crypto/acme/autocert"
)

// blobCache is a container as an autocert.Cache: the key is the blob's name, the value its content. It makes the
// requests that github.com/goenning/azcertcache makes, with the SDK and the version that azcertcache is built on.
type blobCache struct {
	container azblob.ContainerURL
}

func openCache(account, key, container, endpoint string) (*blobCache, error) {
	credential, err := azblob.NewSharedKeyCredential(account, key)
	if err != nil {
		return nil, err
	}
	service, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	pipeline := azblob.NewPipeline(credential, azblob.PipelineOptions{})
	return &blobCache{azblob.NewServiceURL(*service, pipeline).NewContainerURL(container)}, nil
}

func (c *blobCache) Get(ctx context.Context, key string) ([]byte, error) {
	blob := c.container.NewBlockBlobURL(key)
	answer, err := blob.Download(ctx, 0, azblob.CountToEnd, azblob.BlobAccessConditions{}, false,
		azblob.ClientProvidedKeyOptions{})
	if isMissing(err) {
		return nil, autocert.ErrCacheMiss
	}
	if err != nil {
		return nil, err
	}
	body := answer.Body(azblob.RetryReaderOptions{})
	defer body.Close()
	return io.ReadAll(body)
}

func (c *blobCache) Put(ctx context.Context, key string, data []byte) error {
	_, err := c.container.NewBlockBlobURL(key).Upload(ctx, bytes.NewReader(data),
		azblob.BlobHTTPHeaders{ContentType: "application/x-pem-file"}, azblob.Metadata{},
		azblob.BlobAccessConditions{}, azblob.DefaultAccessTier, nil,
		azblob.ClientProvidedKeyOptions{}, azblob.ImmutabilityPolicyOptions{})
	return err
}

func (c *blobCache) Delete(ctx context.Context, key string) error {
	_, err := c.container.NewBlockBlobURL(key).Delete(ctx, azblob.DeleteSnapshotsOptionNone,
		azblob.BlobAccessConditions{})
	if isMissing(err) {
		return nil
	}
	return err
}

func isMissing(err error) bool {
	var answered azblob.ResponseError
	return errors.As(err, &answered) && answered.Response().StatusCode == http.StatusNotFound
}
