const apiKey = "YOUR_API_KEY";
const encoded = btoa(`${apiKey}:`);
const response = await fetch("https://activate.parallel.works/api/auth/session", {
headers: {
"Authorization": `Basic ${encoded}`,
},
});
const data = await response.json();
console.log(data);
