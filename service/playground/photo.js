// A picture to search with: chosen, pasted or dropped; shown, and taken out again.

import { itemOf, show } from "./catalogue.js";
import { at, button, h } from "./dom.js";
import { Problem } from "./problems.js";

const SIDE = 512; // pixels: a phone's photo is far larger than what the model looks at
const LARGEST = 40 * 1024 * 1024;

async function uploadOf(file) {
  if (!/^image\//.test(file.type)) throw new Problem("That is not a picture. A JPEG or PNG can be searched with.");
  if (file.size > LARGEST) throw new Problem("That picture is over 40 MB. Try a smaller one.");
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Problem("The browser cannot read that picture. Is it a JPEG or PNG that is whole?");
  }
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const drawn = canvas.getContext("2d");
  drawn.fillStyle = "#fff"; // behind what a PNG leaves open
  drawn.fillRect(0, 0, canvas.width, canvas.height);
  drawn.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const address = canvas.toDataURL("image/jpeg", 0.9);
  return { address, base64: address.slice(address.indexOf(",") + 1), name: file.name || "picture" };
}

/** Take pictures from file field, clipboard and drops; `taken(upload)` or `failed(problem)` is told. */
export function takePictures(taken, failed) {
  const take = (file) => uploadOf(file).then(taken, failed);
  at("file").addEventListener("change", () => {
    if (at("file").files.length) take(at("file").files[0]);
    at("file").value = ""; // so that the same file can be chosen again
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files || [])].find((each) => each.type.startsWith("image/"));
    if (!file) return;
    event.preventDefault();
    take(file);
  });
  let inside = 0;
  const hasFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  document.addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    inside += 1;
    at("drop").hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    inside = Math.max(0, inside - 1);
    at("drop").hidden = inside === 0;
  });
  document.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    inside = 0;
    at("drop").hidden = true;
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
}

/** The small picture in the search field, with a button that takes it out. */
export function showPhoto(state, remove) {
  const place = at("photo");
  const id = state.photo;
  place.hidden = !(state.upload || id);
  if (place.hidden) return place.replaceChildren();
  const image = h("img", { alt: "The picture that is searched with", width: "32", height: "32" });
  if (state.upload) image.src = state.upload.address;
  else show(image, id).catch(() => null);
  const told = state.upload ? state.upload.name : itemOf(id).title;
  return place.replaceChildren(image, button("×", remove, { "aria-label": "Take the picture out", title: told }));
}
