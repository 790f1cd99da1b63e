import { expect, test } from 'vitest'
import { makeBundle } from '../support/certificates.js'
import { openOperator } from './in-process.js'

async function openWith(...hosts: string[]) {
  const operator = await openOperator()
  for (const host of hosts) await operator.store.put(host, (await makeBundle({ host })).data)
  return operator
}

test('ls cuts the issuer first, then the CA, then the host on a narrow terminal', async () => {
  const host = 'a-name-that-is-rather-long.shop.example.com'
  const { store, run, runWith } = await openOperator()
  await store.put(`acme.a-rather-long-name.example_14000~${host}`, (await makeBundle({ host })).data)
  const whole = (await run('ls')).stdout.split('\n')
  const width = whole[1]?.length ?? 0
  const linesAt = async (columns: number) => (await runWith({ columns }, 'ls')).stdout.split('\n')
  const rowAt = async (columns: number) => {
    const [, row = ''] = await linesAt(columns)
    expect(row).toHaveLength(columns)
    return row
  }
  const ca = 'acme.a-rather-long-name.example:14000'
  expect(await linesAt(width)).toEqual(whole)
  expect(await rowAt(width - 20)).toMatch(new RegExp(`^${host}  ${ca}  EC P-256  a-name-[a-z-]+….* valid$`))
  expect(await rowAt(width - 50)).toMatch(
    new RegExp(`^${host} {2}acme\\.[a-z-]+… {2}EC P-256 {2}a-name-… .* valid$`),
  )
  expect(await rowAt(width - 80)).toMatch(/^a-name-[a-z.-]+… {2}acme\.a-… {2}EC P-256 {2}a-name-… .* valid$/)
  for (const line of await linesAt(40))
    expect(line).toMatch(/^$|^1 cert|^HOST|^a-name-… {2}acme\.a-… {2}EC P-256 {2}a-name-… .* valid$/)
})

test.each([
  ['no', 'n\n'],
  ['nothing', '\n'],
  ['another word', 'yet\n'],
  ['Ctrl+C', '\u0003'],
  ['Ctrl+D', '\u0004'],
  ['the end of the input', ''],
])('rm removes nothing if the answer is %s', async (_name, input) => {
  const { runWith, keys } = await openWith('a.example')
  const { code, stderr } = await runWith({ columns: 80, answer: async () => input }, 'rm', 'a.example')
  expect(stderr).toMatch(/Remove 1 blob from container \S+\? \[y\/N\] .*nothing was removed\n$/s)
  expect(stderr).not.toContain('unexpected')
  expect(code).toBe(1)
  expect(await keys()).toEqual(['a.example'])
})

test.each(['y\n', 'YES\n'])('rm removes the certificate if the answer is %j', async (input) => {
  const { runWith, keys } = await openWith('a.example')
  expect(await runWith({ columns: 80, answer: async () => input }, 'rm', 'a.example')).toMatchObject({
    code: 0,
  })
  expect(await keys()).toEqual([])
})

test('ls that takes more than 1 s shows its progress on a terminal that can erase a line', async () => {
  const { run, runWith } = await openWith('a.example', 'b.example')
  /** Advances by 2 s with each reading. */
  const slowly = () => {
    let looks = 0
    return () => 2_000 * looks++
  }
  const columns = 200
  expect(await runWith({ columns }, 'ls')).toMatchObject({ code: 0, stderr: '' })
  const { stderr } = await runWith({ columns, stopwatch: slowly() }, 'ls')
  expect(stderr.endsWith('read 2 blobs …\r\u001b[K')).toBe(true)
  const dumb = { columns, stopwatch: slowly(), env: { TERM: 'dumb' } }
  expect(await runWith(dumb, 'ls')).toMatchObject({ code: 0, stderr: '' })
  expect(await runWith({ stopwatch: slowly() }, 'ls')).toMatchObject({ code: 0, stderr: '' })
  expect((await run('clean')).stderr).toBe('nothing to remove\n')
})

test('ls prints colours only on terminals that support them', async () => {
  const { run, runWith } = await openWith('a.example')
  const coloured = await runWith({ columns: 200, colours: true }, 'ls')
  expect(coloured.stdout).toContain('\u001b[32mvalid\u001b[39m')
  for (const { stdout } of [await runWith({ columns: 200 }, 'ls'), await run('ls')]) {
    expect(stdout).toMatch(/ valid\n/)
    expect(stdout).not.toContain('\u001b')
  }
})
