/**
 * The part of the SDK's `ContainerClient` that this store uses. A structural type, so that you can pass a client of
 * another version of the SDK.
 */
export interface BlobContainerClient {
  readonly containerName: string
  getBlockBlobClient(name: string): LeasableBlob & {
    download(
      offset?: number,
      count?: number,
      options?: { abortSignal?: AbortSignal },
    ): Promise<{ readableStreamBody?: NodeJS.ReadableStream; contentLength?: number }>
  }
  listBlobsFlat(options?: { prefix?: string; abortSignal?: AbortSignal }): {
    byPage(settings?: { continuationToken?: string; maxPageSize?: number }): AsyncIterableIterator<ListedPage>
  }
}

/** One page of a listing. */
export interface ListedPage {
  readonly continuationToken?: string
  readonly segment: {
    readonly blobItems: readonly {
      readonly name: string
      readonly properties: { readonly contentLength?: number; readonly lastModified: Date }
    }[]
  }
}

/** The part of the SDK's `BlockBlobClient` that writes and locks use. */
export interface LeasableBlob {
  upload(
    body: Uint8Array,
    length: number,
    options?: {
      abortSignal?: AbortSignal
      blobHTTPHeaders?: { blobContentType?: string }
      conditions?: { ifNoneMatch?: string }
    },
  ): Promise<unknown>
  delete(options?: { abortSignal?: AbortSignal; conditions?: { leaseId?: string } }): Promise<unknown>
  getBlobLeaseClient(proposedLeaseId?: string): {
    acquireLease(duration: number, options?: { abortSignal?: AbortSignal }): Promise<unknown>
    renewLease(options?: { abortSignal?: AbortSignal }): Promise<unknown>
  }
}
