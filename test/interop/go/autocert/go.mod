module acme-cert-cache/interop

go 1.26.0

require (
	github.com/Azure/azure-storage-blob-go v0.15.0
	golang.org/x/crypto v0.59.0
)

require (
	github.com/Azure/azure-pipeline-go v0.2.3 // indirect
	github.com/google/uuid v1.2.0 // indirect
	github.com/mattn/go-ieproxy v0.0.1 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
	golang.org/x/text v0.44.0 // indirect
)
