import { createServer } from 'node:http'
import { expect, test } from 'vitest'
import { listen } from '../support/tls.js'
import { directoryOnly, findings, listenForTest, nameServer, testCa } from './doctor-support.js'
import { openOperator } from './in-process.js'

test('doctor reports the DNS and CAA records that a CA would find', async () => {
  const { run } = await openOperator()
  const ca = await directoryOnly({ caaIdentities: ['ca.example'] })
  const dns = await nameServer({
    'no-address.example': {},
    'other.example': { A: ['127.0.0.1'], CAA: ['elsewhere.example'] },
    'sub.ours.example': { A: ['127.0.0.1'] },
    'ours.example': { CAA: ['elsewhere.example', 'ca.example; validationmethods=http-01'] },
    'nobody.example': { A: ['127.0.0.1'], CAA: [';'] },
    'broken.example': { failing: true },
    example: {},
  })
  const doctor = async (host: string, flags: string[] = ca) =>
    findings((await run('doctor', '--json', host, ...flags, ...dns, '--http-port', '1')).stdout)
  for (const [host, status, caa, address] of [
    ['no-address.example', 'ok', /any CA may issue/, /Add an A or AAAA record/],
    ['missing.example', 'ok', /any CA may issue/, /Add an A or AAAA record/],
    [
      'other.example',
      'failed',
      /allows elsewhere\.example\. Add the record: other\.example CAA 0 issue "ca\.example"/,
      /127\.0\.0\.1/,
    ],
    ['sub.ours.example', 'ok', /ours\.example allows elsewhere\.example, ca\.example$/, /127\.0\.0\.1/],
    ['nobody.example', 'failed', /allows no CA/, /127\.0\.0\.1/],
    [
      'broken.example',
      'failed',
      /CAA query for broken\.example failed \(ESERVFAIL\)/,
      /DNS query failed \(ESERVFAIL\)/,
    ],
  ] as const) {
    const found = await doctor(host)
    expect(found[`CAA ${host}`]).toMatchObject({ status, text: expect.stringMatching(caa) })
    expect(found[`DNS ${host}`]?.text).toMatch(address)
  }
  const silent = await doctor('other.example', await directoryOnly({}))
  expect(silent['CAA other.example']).toMatchObject({ status: 'warning' })
})

test('doctor reports the response at port 80: another server, a redirect, connection refused', async () => {
  const { run, keys } = await openOperator()
  const { flags } = await testCa()
  const dns = await nameServer({ 'a.example': { A: ['127.0.0.1'], AAAA: ['::1'] }, example: {} })
  let elsewhere = false
  const server = createServer((_req, res) =>
    elsewhere ? res.writeHead(301, { location: 'https://a.example/' }).end() : res.writeHead(404).end(),
  )
  const port = await listen(server)
  const doctor = async () => {
    const { code, stdout } = await run(
      'doctor',
      '--json',
      'a.example',
      ...flags,
      ...dns,
      '--http-port',
      String(port),
    )
    const found = findings(stdout)
    expect(Object.keys(found)).toContain(`http [::1]:${port}`)
    expect(code).toBe(1)
    return found[`http 127.0.0.1:${port}`]
  }
  expect(await doctor()).toMatchObject({ status: 'failed', text: expect.stringContaining('status 404') })
  elsewhere = true
  expect(await doctor()).toMatchObject({
    status: 'warning',
    text: expect.stringContaining('https://a.example/'),
  })
  server.closeAllConnections()
  server.close()
  expect(await doctor()).toMatchObject({ status: 'failed', text: expect.stringContaining('ECONNREFUSED') })
  expect(await keys()).toEqual([])
})

test('doctor stops reading an endless response at the length of a challenge answer', async () => {
  const { run } = await openOperator()
  const { flags } = await testCa()
  const dns = await nameServer({ 'a.example': { A: ['127.0.0.1'] }, example: {} })
  const server = createServer((_req, res) => void res.writeHead(200).write('x'.repeat(10_000)))
  const port = await listenForTest(server)
  const { stdout } = await run('doctor', '--json', 'a.example', ...flags, ...dns, '--http-port', String(port))
  expect(findings(stdout)[`http 127.0.0.1:${port}`]).toMatchObject({
    status: 'failed',
    text: expect.stringContaining('not the challenge answer, but status 200'),
  })
})

test('doctor reports ok if CAA records restrict only wildcards', async () => {
  const { run } = await openOperator()
  const ca = await directoryOnly({ caaIdentities: ['ca.example'] })
  const dns = await nameServer({ 'a.example': { A: ['127.0.0.1'], issuewild: [';'] }, example: {} })
  const { stdout } = await run('doctor', '--json', 'a.example', ...ca, ...dns, '--http-port', '1')
  expect(findings(stdout)['CAA a.example']).toMatchObject({
    status: 'ok',
    text: expect.stringMatching(/^a\.example has CAA records.*any CA may issue$/),
  })
})

test('doctor fails if the server redirects without a location', async () => {
  const { run } = await openOperator()
  const { flags } = await testCa()
  const dns = await nameServer({ 'a.example': { A: ['127.0.0.1'] }, example: {} })
  const server = createServer((_req, res) => res.writeHead(304).end())
  const port = await listenForTest(server)
  const { stdout } = await run('doctor', '--json', 'a.example', ...flags, ...dns, '--http-port', String(port))
  expect(findings(stdout)[`http 127.0.0.1:${port}`]).toMatchObject({
    status: 'failed',
    text: expect.stringContaining('status 304'),
  })
})
