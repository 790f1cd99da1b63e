import { isIP } from 'node:net'

/** What the HTTP handler reads of a request. Requests of `http`, of `http2`, and of frameworks have it. */
export interface HttpRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  /** Express's copy of `url`. From `url` itself, Express removes the path that a middleware is mounted at. */
  readonly originalUrl?: unknown
  readonly headers: { readonly [name: string]: string | string[] | undefined }
  readonly socket?: { readonly remoteAddress?: string | undefined } | null
}

/** The absolute form of a request target: a scheme, an authority, and the rest. */
const absoluteForm = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)(.*)$/is

/** Returns the path and query of a request, starting with a slash. A target without a path has the path `/`. */
export function requestPath(req: HttpRequest): string {
  const target = requestTarget(req)
  const rest = absoluteForm.exec(target)?.[2]
  if (rest?.startsWith('?')) return `/${rest}`
  const path = rest ?? target
  return path.startsWith('/') ? path : '/'
}

/**
 * Returns the host that a request names, without the port; an empty string if it names none. The host of an HTTP/2
 * request is its `:authority` (RFC 9113 section 8.3.1). An absolute-form target overrides `Host` (RFC 9112 section 3.2.2).
 */
export function requestedName(req: HttpRequest): string {
  const { ':authority': authority, host } = req.headers
  const named = authority ?? absoluteForm.exec(requestTarget(req))?.[1] ?? host
  // RFC 3986 section 3.2.3: the port can be empty.
  return typeof named === 'string' ? named.replace(/:\d*$/, '') : ''
}

/** Returns whether a name is one that health checks send instead of a DNS name: none, an IP address or a single label. */
export const isProbeName = (name: string): boolean =>
  name === '' || isIP(name.replace(/^\[(.*)\]$/, '$1')) !== 0 || /^[a-z0-9_-]{1,63}$/i.test(name)

const requestTarget = ({ originalUrl, url }: HttpRequest): string =>
  typeof originalUrl === 'string' ? originalUrl : (url ?? '')
