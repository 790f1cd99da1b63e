import { expect, test } from 'vitest'
import { makeBundle } from '../support/certificates.js'
import { openOperator } from './in-process.js'

async function openWith(...hosts: string[]) {
  const operator = await openOperator()
  for (const host of hosts) await operator.store.put(host, (await makeBundle({ host })).data)
  return operator
}

test('ls cuts the issuer first and the host next on a narrow terminal', async () => {
  const host = 'a-name-that-is-rather-long.shop.example.com'
  const { run, runWith } = await openWith(host)
  const whole = (await run('ls')).stdout.split('\n')
  const width = whole[1]?.length ?? 0
  const linesAt = async (columns: number) => (await runWith({ columns }, 'ls')).stdout.split('\n')
  expect(await linesAt(width)).toEqual(whole)
  const [, narrower = ''] = await linesAt(width - 20)
  expect(narrower).toHaveLength(width - 20)
  expect(narrower).toMatch(new RegExp(`^${host}  EC P-256  a-name-[a-z-]+….* valid$`))
  const [, narrowest = ''] = await linesAt(width - 60)
  expect(narrowest).toHaveLength(width - 60)
  expect(narrowest).toMatch(/^a-name-[a-z.-]+… {2}EC P-256 {2}a-name-… .* valid$/)
  for (const line of await linesAt(40))
    expect(line).toMatch(/^$|^1 cert|^HOST|^a-name-… {2}EC P-256 {2}a-name-… .* valid$/)
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
  expect(stderr).toMatch(/Remove from container \S+\? \[y\/N\] .*nothing was removed\n$/s)
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
  expect(stderr.endsWith('2 blobs read …\r\u001b[K')).toBe(true)
  const dumb = { columns, stopwatch: slowly(), env: { TERM: 'dumb' } }
  expect(await runWith(dumb, 'ls')).toMatchObject({ code: 0, stderr: '' })
  expect(await runWith({ stopwatch: slowly() }, 'ls')).toMatchObject({ code: 0, stderr: '' })
  expect((await run('clean')).stderr).toBe('there is nothing to remove\n')
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
