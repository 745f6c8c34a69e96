const token = "YOUR_TOKEN";
const response = await fetch("https://activate.parallel.works/api/auth/session", {
headers: {
"Authorization": `Bearer ${token}`,
},
});
const data = await response.json();
console.log(data);
