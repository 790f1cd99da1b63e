import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

export type Header = 'if-none-match' | 'if-match'

const bucket = 'certificates'

/**
 * Starts an S3 server in memory with one bucket and the operations that a store needs. It can ignore conditional
 * writes, and answer 501 to writes with a certain header.
 */
export async function openFakeS3(options: { ignores?: readonly Header[]; refuses?: string } = {}) {
  const objects = new Map<string, { data: Buffer; etag: string; modified: Date }>()
  /** The raw URL and the headers of each request. */
  const requests: { method: string; url: string; headers: IncomingMessage['headers'] }[] = []

  const server = createServer(async (req, res) => {
    const { method = '', url = '', headers } = req
    requests.push({ method, url, headers })
    const { pathname, searchParams } = new URL(url, 'http://localhost')
    const [, bucketName, ...keyParts] = pathname.split('/').map(decodeURIComponent)
    const body = await buffer(req).catch(() => undefined)
    if (!body) return
    if (bucketName !== bucket) return fail(res, 404, 'NoSuchBucket')
    const key = keyParts.join('/')
    if (key === '') return list(res, searchParams)
    if (method === 'GET') return get(res, key)
    if (method === 'PUT') return put(res, key, body, headers)
    objects.delete(key)
    res.writeHead(204).end()
  })

  function get(res: ServerResponse, key: string) {
    const object = objects.get(key)
    if (!object) return fail(res, 404, 'NoSuchKey')
    res.writeHead(200, { etag: object.etag, 'content-length': object.data.length }).end(object.data)
  }

  function put(res: ServerResponse, key: string, data: Buffer, headers: IncomingMessage['headers']) {
    const existing = objects.get(key)
    const condition = (name: Header) => (options.ignores?.includes(name) ? undefined : headers[name])
    if (options.refuses && headers[options.refuses]) return fail(res, 501, 'NotImplemented')
    if (condition('if-none-match') && existing) return fail(res, 412, 'PreconditionFailed')
    if (condition('if-match') && !existing) return fail(res, 404, 'NoSuchKey')
    if (condition('if-match') && condition('if-match') !== existing?.etag)
      return fail(res, 412, 'PreconditionFailed')
    const etag = `"${createHash('md5').update(data).digest('hex')}"`
    objects.set(key, { data, etag, modified: new Date() })
    res.writeHead(200, { etag }).end()
  }

  /** Lists two objects per page. */
  function list(res: ServerResponse, query: URLSearchParams) {
    const [prefix, delimiter, after] = ['prefix', 'delimiter', 'continuation-token'].map(
      (name) => query.get(name) ?? '',
    ) as [string, string, string]
    const direct = [...objects.keys()].filter(
      (key) => key.startsWith(prefix) && !(delimiter && key.slice(prefix.length).includes(delimiter)),
    )
    const keys = direct.sort().filter((key) => key > after)
    const page = keys.slice(0, 2)
    const contents = page.map((key) => {
      const { data, modified } = objects.get(key)!
      const name = key.replaceAll('&', '&amp;').replaceAll("'", '&apos;')
      return `<Contents><Key>${name}</Key><Size>${data.length}</Size><LastModified>${modified.toISOString()}</LastModified></Contents>`
    })
    const isTruncated = keys.length > page.length
    const next = isTruncated ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : ''
    res
      .writeHead(200, { 'content-type': 'application/xml' })
      .end(
        `<?xml version="1.0"?><ListBucketResult><IsTruncated>${isTruncated}</IsTruncated>${next}${contents.join('')}</ListBucketResult>`,
      )
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    endpoint: `http://127.0.0.1:${port}`,
    bucket,
    objects,
    /** Returns the requests since the last call. */
    take: () => requests.splice(0),
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function fail(res: ServerResponse, status: number, code: string) {
  res
    .writeHead(status, { 'content-type': 'application/xml' })
    .end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>made by the test</Message></Error>`)
}
