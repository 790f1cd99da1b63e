import { expect, test } from 'vitest'
import { makeBundle } from '../support/certificates.js'
import { accessTo, runCli } from '../support/cli.js'
import { checked, makeOperator } from '../support/operator.js'

/** As if there were a terminal, which is so wide. */
const onTerminal = (columns: number, more = '') => {
  const script = `for (const stream of [process.stdin, process.stdout, process.stderr]) stream.isTTY = true
process.stdout.columns = ${columns}
process.stdout.hasColors = () => false
${more}`
  return ['--import', `data:text/javascript,${encodeURIComponent(script)}`]
}

async function makeContainer(...hosts: string[]) {
  const { store, connect, keys } = await makeOperator()
  for (const host of hosts) await store.put(host, (await makeBundle({ host })).data)
  const { flags, env } = accessTo(connect.containerName)
  const run = async (
    args: string[],
    node: string[],
    more: { input?: string; env?: Record<string, string> } = {},
  ) =>
    checked(
      await runCli([...args, ...flags], { node, input: more.input ?? '', env: { ...env, ...more.env } }),
    )
  return { run, keys }
}

test('on a narrow terminal the issuer is cut, then the host', async () => {
  const host = 'a-name-that-is-rather-long.shop.example.com'
  const { run } = await makeContainer(host)
  const whole = (await run(['ls'], [])).stdout.split('\n')
  const width = whole[1]?.length ?? 0
  const lines = async (columns: number) => (await run(['ls'], onTerminal(columns))).stdout.split('\n')
  expect(await lines(width)).toEqual(whole)
  const [, narrower = ''] = await lines(width - 20)
  expect(narrower).toHaveLength(width - 20)
  expect(narrower).toMatch(new RegExp(`^${host}  EC P-256  a-name-[a-z-]+….* valid$`))
  const [, narrowest = ''] = await lines(width - 60)
  expect(narrowest).toHaveLength(width - 60)
  expect(narrowest).toMatch(/^a-name-[a-z.-]+… {2}EC P-256 {2}a-name-… .* valid$/)
  for (const line of await lines(40))
    expect(line).toMatch(/^$|^1 cert|^HOST|^a-name-… {2}EC P-256 {2}a-name-… .* valid$/)
})

test.each([
  ['no', 'n\n'],
  ['nothing', '\n'],
  ['Ctrl+C', '\u0003'],
  ['Ctrl+D', '\u0004'],
  ['the end of the input', ''],
])('%s, where it asks, removes nothing', async (_name, input) => {
  const { run, keys } = await makeContainer('a.example')
  const { code, stderr } = await run(['rm', 'a.example'], onTerminal(80), { input })
  expect(stderr).toMatch(/Remove from container \S+\? \[y\/N\] .*nothing was removed\n$/s)
  expect(stderr).not.toContain('unexpected')
  expect(code).toBe(1)
  expect(await keys()).toEqual(['a.example'])
})

test('yes removes it', async () => {
  const { run, keys } = await makeContainer('a.example')
  expect(await run(['rm', 'a.example'], onTerminal(80), { input: 'y\n' })).toMatchObject({ code: 0 })
  expect(await keys()).toEqual([])
})

test('progress is shown where it takes long, and the terminal can take it back', async () => {
  const { run } = await makeContainer('a.example')
  expect(await run(['ls'], onTerminal(200))).toMatchObject({ code: 0, stderr: '' })
  // Each look at the time is two seconds later.
  const slow = onTerminal(
    200,
    'const { now } = performance; let n = 0; performance.now = () => now.call(performance) + 2_000 * n++',
  )
  expect((await run(['clean'], slow)).stderr).toMatch(/^there/)
  const two = await makeContainer('a.example', 'b.example')
  expect((await two.run(['ls'], slow)).stderr).toContain('2 blobs read …')
  expect(await two.run(['ls'], slow, { env: { TERM: 'dumb' } })).toMatchObject({ code: 0, stderr: '' })
})
