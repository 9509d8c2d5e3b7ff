// The camera and the microphone see and hear the filmed person of tests/pages/person.py.
(() => {
  if (!navigator.mediaDevices) return; // a page that is nobody's yet
  const WAITING_MS = 400; // the first pictures, to and fro, until the page records
  let film = null;

  const get = (name) => fetch(`/filmed-person/${name}`);
  const load = async () => {
    const next = await (await get("film.json")).json();
    const bytes = await (await get("pictures")).arrayBuffer();
    let at = 0;
    next.pictures = next.sizes.map((size) => new Blob([bytes.slice(at, (at += size))], { type: "image/jpeg" }));
    next.samples = new Float32Array(await (await get("sound")).arrayBuffer());
    film = next;
  };
  window.person = { idle: false, load };

  const source = (context, rate, samples) => {
    const buffer = context.createBuffer(1, samples.length, rate);
    buffer.copyToChannel(samples, 0);
    const node = context.createBufferSource();
    node.buffer = buffer;
    return node;
  };

  navigator.mediaDevices.getUserMedia = async (wanted) => {
    if (!film) await load();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [film.width, film.height];
    const drawing = canvas.getContext("2d");
    const stream = canvas.captureStream();
    const context = new AudioContext({ sampleRate: film.rate });
    const out = context.createMediaStreamDestination();
    const room = source(context, film.rate, film.samples.slice(0, film.rate)); // nothing is said in its first second
    room.loop = true;
    room.connect(out);
    room.start();
    if (wanted.audio) stream.addTrack(out.stream.getAudioTracks()[0]);

    const recordings = () => performance.getEntriesByName("mien-recording").length;
    const before = recordings();
    const opened = performance.now();
    let began = null, shown = -1;
    const tick = async () => {
      if (stream.getVideoTracks()[0].readyState === "ended") return void context.close();
      const now = performance.now();
      const swing = (now - opened) % (2 * WAITING_MS);
      let at = Math.min(swing, 2 * WAITING_MS - swing);
      if (began === null && recordings() > before && !window.person.idle) {
        began = now - at;
        room.stop();
        const sound = source(context, film.rate, film.samples);
        sound.connect(out);
        sound.start(0, at / 1000);
      }
      if (began !== null) at = now - began;
      const number = Math.min(film.pictures.length - 1, Math.floor((at * film.fps) / 1000));
      if (number !== shown) {
        shown = number;
        const picture = await createImageBitmap(film.pictures[number]);
        drawing.drawImage(picture, 0, 0);
        picture.close();
      }
      setTimeout(tick, 8);
    };
    await tick();
    return stream;
  };
  navigator.mediaDevices.enumerateDevices = async () => [{ kind: "videoinput", deviceId: "one" }, { kind: "audioinput", deviceId: "two" }];
})();
