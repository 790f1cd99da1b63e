import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative } from 'node:path/posix'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const filesIn = (folder: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name.replaceAll('\\', '/')))
    .filter((path) => path.endsWith('.md') && !path.includes('node_modules'))

/** The pages written by hand, and those that TypeDoc writes. */
const guides = filesIn('docs').filter((path) => !path.startsWith('docs/api/'))
const pages = ['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'examples/README.md', ...guides]

/** The text outside of code blocks. */
const prose = (text: string) => text.replace(/^( *)(```+)[^\n]*\n.*?^\1\2 *$/gms, '')

/** The anchors that GitHub makes of the headings. */
function anchorsOf(path: string): Set<string> {
  const anchors = new Set<string>()
  for (const [, heading] of prose(read(path)).matchAll(/^#+ +(.*?) *$/gm)) {
    const text = (heading as string).replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    const slug = text
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-')
    let anchor = slug
    for (let count = 1; anchors.has(anchor); count++) anchor = `${slug}-${count}`
    anchors.add(anchor)
  }
  return anchors
}

/** The targets of the links and images on a page. */
const linksOf = (path: string): string[] => [
  ...[...prose(read(path)).matchAll(/\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)/g)].map(
    ([, target]) => target as string,
  ),
  ...[...prose(read(path)).matchAll(/^\[[^\]]+\]: (\S+)/gm)].map(([, target]) => target as string),
]

/** What is wrong with a link; `undefined` if nothing is. Links to other hosts are not followed. */
function faultOf(page: string, link: string): string | undefined {
  if (/^[a-z]+:/.test(link)) return /^(https|mailto):/.test(link) ? undefined : 'not https'
  const [path = '', anchor] = link.split('#')
  const target = path === '' ? page : relative('.', join(page, '..', path))
  if (!existsSync(join(root, target))) return 'no such file'
  if (anchor === undefined) return undefined
  if (!statSync(join(root, target)).isFile()) return 'an anchor in a folder'
  return anchorsOf(target).has(anchor) ? undefined : 'no such heading'
}

test.each(pages)('every link on %s leads to a file and a heading', (page) => {
  const faults = linksOf(page).flatMap((link) => {
    const fault = faultOf(page, link)
    return fault ? [`${link}: ${fault}`] : []
  })
  expect(faults).toEqual([])
})

test('a broken link is found', () => {
  expect(faultOf('docs/cli.md', '../README.md')).toBeUndefined()
  expect(faultOf('docs/cli.md', 'README.md')).toBe('no such file')
  expect(faultOf('README.md', 'SECURITY.md#no-such-heading')).toBe('no such heading')
  expect(faultOf('README.md', '#licence')).toBeUndefined()
  expect(faultOf('README.md', 'http://example.com')).toBe('not https')
})

test.each(pages)('%s contains no placeholder', (page) => {
  expect(read(page)).not.toMatch(/@@|\bTODO\b|\bFIXME\b|\bTBD\b/)
})

describe('README.md', () => {
  const readme = read('README.md')

  test('has at most 200 lines', () => {
    expect(readme.split('\n').length).toBeLessThanOrEqual(201)
  })

  test('begins with the program of four lines', () => {
    const [, code = ''] = /^```js\n(.*?)^```/ms.exec(readme) ?? []
    expect(/^```\w+/m.exec(readme)?.[0]).toBe('```js')
    expect(code).toMatch(
      /AzureBlobCertCache\.connect\(.*new CertManager\(.*manager\.tlsOptions\(\).*listen\(443\).*manager\.httpHandler\(\).*listen\(80\)/s,
    )
  })

  test('links to every page in docs/', () => {
    const links = linksOf('README.md').map((link) => link.split('#')[0])
    expect(guides.length).toBeGreaterThan(15)
    expect(guides.filter((guide) => !links.includes(guide))).toEqual([])
  })
})

test.each(guides)('%s begins with a title, then code or a command', (page) => {
  expect(read(page)).toMatch(/^# [^\n]+\n\n```\w+\n/)
})

test('observability.md lists every event', () => {
  const events = [...read('src/manager/events.ts').matchAll(/^ {2}(\w+): \[/gm)].map(([, name]) => name)
  expect(events).toHaveLength(12)
  for (const event of events) expect(read('docs/observability.md')).toContain(`\`${event}\``)
})

test('errors.md lists every error code, with a link to its section in troubleshooting.md', () => {
  const codes = new Set(
    [...read('src/util/errors.ts').matchAll(/'(ERR_\w+)'/g)].map(([, code]) => code as string),
  )
  expect(codes.size).toBe(19)
  const links = linksOf('docs/errors.md')
  for (const code of codes) {
    expect(read('docs/errors.md')).toContain(`\`${code}\``)
    expect(links).toContain(`troubleshooting.md#${code.toLowerCase()}`)
  }
})
